/**
 * Where the specification has the fields of its data structures: name, offset, bytes. Taken from
 * another implementation's structures (offsetof in libnvme 1.3), not from the tables under test.
 */
export interface Place {
  name: string;
  offset: number;
  bytes: number;
}

function layout(text: string): Place[] {
  return text.split(",").map((item) => {
    const [name = "", offset, bytes] = item.trim().split(" ");
    return { name, offset: Number(offset), bytes: Number(bytes) };
  });
}

export const CONTROLLER = layout(`
  vid 0 2, ssvid 2 2, sn 4 20, mn 24 40, fr 64 8, rab 72 1, ieee 73 3, cmic 76 1, mdts 77 1,
  cntlid 78 2, ver 80 4, rtd3r 84 4, rtd3e 88 4, oaes 92 4, ctratt 96 4, rrls 100 2,
  cntrltype 111 1, fguid 112 16, crdt1 128 2, crdt2 130 2, crdt3 132 2, nvmsr 253 1, vwci 254 1,
  mec 255 1, oacs 256 2, acl 258 1, aerl 259 1, frmw 260 1, lpa 261 1, elpe 262 1, npss 263 1,
  avscc 264 1, apsta 265 1, wctemp 266 2, cctemp 268 2, mtfa 270 2, hmpre 272 4, hmmin 276 4,
  tnvmcap 280 16, unvmcap 296 16, rpmbs 312 4, edstt 316 2, dsto 318 1, fwug 319 1, kas 320 2,
  hctma 322 2, mntmt 324 2, mxtmt 326 2, sanicap 328 4, hmminds 332 4, hmmaxd 336 2,
  nsetidmax 338 2, endgidmax 340 2, anatt 342 1, anacap 343 1, anagrpmax 344 4, nanagrpid 348 4,
  pels 352 4, domainid 356 2, megcap 368 16, sqes 512 1, cqes 513 1, maxcmd 514 2, nn 516 4,
  oncs 520 2, fuses 522 2, fna 524 1, vwc 525 1, awun 526 2, awupf 528 2, icsvscc 530 1,
  nwpc 531 1, acwu 532 2, ocfs 534 2, sgls 536 4, mnan 540 4, maxdna 544 16, maxcna 560 4,
  subnqn 768 256, ioccsz 1792 4, iorcsz 1796 4, icdoff 1800 2, fcatt 1802 1, msdbd 1803 1,
  ofcs 1804 2`);

export const NAMESPACE = layout(`
  nsze 0 8, ncap 8 8, nuse 16 8, nsfeat 24 1, nlbaf 25 1, flbas 26 1, mc 27 1, dpc 28 1, dps 29 1,
  nmic 30 1, rescap 31 1, fpi 32 1, dlfeat 33 1, nawun 34 2, nawupf 36 2, nacwu 38 2, nabsn 40 2,
  nabo 42 2, nabspf 44 2, noiob 46 2, nvmcap 48 16, npwg 64 2, npwa 66 2, npdg 68 2, npda 70 2,
  nows 72 2, mssrl 74 2, mcl 76 4, msrc 80 1, nulbaf 82 1, anagrpid 92 4, nsattr 99 1,
  nvmsetid 100 2, endgid 102 2, nguid 104 16, eui64 120 8`);

export const POWER_STATE = layout(`
  mp 0 2, flags 3 1, enlat 4 4, exlat 8 4, rrt 12 1, rrl 13 1, rwt 14 1, rwl 15 1, idlp 16 2,
  ips 18 1, actp 20 2, aps 22 1`);

/** But for the temperature sensors, which are an array there. */
export const SMART = layout(`
  critical_warning 0 1, temperature 1 2, avail_spare 3 1, spare_thresh 4 1, percent_used 5 1,
  endurance_grp_critical_warning_summary 6 1, data_units_read 32 16, data_units_written 48 16,
  host_read_commands 64 16, host_write_commands 80 16, controller_busy_time 96 16,
  power_cycles 112 16, power_on_hours 128 16, unsafe_shutdowns 144 16, media_errors 160 16,
  num_err_log_entries 176 16, warning_temp_time 192 4, critical_comp_time 196 4,
  thm_temp1_trans_count 216 4, thm_temp2_trans_count 220 4, thm_temp1_total_time 224 4,
  thm_temp2_total_time 228 4`);

export const ERROR_ENTRY = layout(`
  error_count 0 8, sqid 8 2, cmdid 10 2, status_field 12 2, parm_error_location 14 2, lba 16 8,
  nsid 24 4, vs 28 1, trtype 29 1, cs 32 8, trtype_spec_info 40 2`);
