import { TYPE } from "./codes.ts";
import { EDNS_UDP_BYTES, OPT_BYTES } from "./sizes.ts";

/** Write an OPT record of ours (RFC 6891 §6.1.2), but for the `dataBytes` octets of its options, to `out` at offset `at`. */
export function writeOpt(out: Uint8Array, at: number, dnssecOk: boolean, upperRcode = 0, dataBytes = 0): void {
  out.fill(0, at, at + OPT_BYTES);
  out[at + 2] = TYPE.OPT;
  out[at + 3] = EDNS_UDP_BYTES >> 8;
  out[at + 4] = EDNS_UDP_BYTES & 0xff;
  out[at + 5] = upperRcode;
  out[at + 7] = dnssecOk ? 0x80 : 0;
  out[at + 9] = dataBytes >> 8;
  out[at + 10] = dataBytes & 0xff;
}
