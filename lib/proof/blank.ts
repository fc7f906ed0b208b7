/** Nothing but zeros, or nothing but ones: what stands for data that nobody sent. */
export function isBlank(bytes: Uint8Array): boolean {
  const [first] = bytes;
  return (first === 0x00 || first === 0xff) && bytes.every((byte) => byte === first);
}
