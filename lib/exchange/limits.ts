/** What a peer may ask of this side. A line that matters to nobody must not cost memory or patience. */

/** Bytes of a line, with its end: a message. */
export const MAX_LINE_BYTES = 64 * 1024;
/** The same of one who has not shown yet who he is. */
export const MAX_HELLO_BYTES = 1024;
/** Bytes of messages that nobody has taken yet. */
export const MAX_UNREAD_BYTES = 8 * MAX_LINE_BYTES;
/** Bytes that the peer has not taken yet. */
export const MAX_UNSENT_BYTES = 16 * MAX_LINE_BYTES;
/** Objects and lists within each other. */
export const MAX_DEPTH = 8;
/** Connections that have not shown yet who they are: the oldest gives way to the next. */
export const MAX_STRANGERS = 64;
/** An idle side says so often that it is there: milliseconds. */
export const BEAT_MS = 1000;
/** A side that ends waits so long for its last words to be taken: milliseconds. */
export const LINGER_MS = 1000;
