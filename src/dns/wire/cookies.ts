import { createHmac, timingSafeEqual } from "node:crypto";

const CLIENT_BYTES = 8;
const STAMP_BYTES = 8;
const HASH_BYTES = 8;
/** A cookie is valid for an hour, and clocks of replicas may differ by five minutes (RFC 9018 §4.3). */
const MAX_AGE_SECONDS = 3600;
const MAX_AHEAD_SECONDS = 300;

/** DNS cookies (RFC 7873): proof that a client receives what is sent to its address. */
export interface Cookies {
  /** Whether `option`, the data of a COOKIE option, holds a server cookie that we gave this client within the last hour. */
  isValid(option: Uint8Array, address: string): boolean;
  /** The data of the COOKIE option of an answer: the client's cookie and a fresh one of ours. */
  renew(option: Uint8Array, address: string): Buffer;
}

/** Whether the data of a COOKIE option can be one: a client's cookie, alone or with a server's (RFC 7873 §4). */
export function isCookie(option: Uint8Array): boolean {
  return option.length === CLIENT_BYTES || (option.length >= 16 && option.length <= 40);
}

/**
 * Cookies by a secret that all threads share. The server's part is laid out as RFC 9018 §4 has it, version, three reserved octets,
 * time, hash; the hash is HMAC-SHA-256 cut to 64 bits (RFC 7873 appendix B.2), over the client's cookie, those octets and its address.
 */
export function cookies(secret: Uint8Array, nowMs: () => number = Date.now): Cookies {
  function hashOf(client: Uint8Array, stamp: Uint8Array, address: string): Buffer {
    const hash = createHmac("sha256", secret).update(client).update(stamp).update(address).digest();
    return hash.subarray(0, HASH_BYTES);
  }

  return {
    isValid(option, address) {
      if (option.length !== CLIENT_BYTES + STAMP_BYTES + HASH_BYTES || option[CLIENT_BYTES] !== 1) return false;
      const stamp = option.subarray(CLIENT_BYTES, CLIENT_BYTES + STAMP_BYTES);
      const ageSeconds = (Math.floor(nowMs() / 1000) - Buffer.from(stamp).readUInt32BE(4)) | 0;
      if (ageSeconds > MAX_AGE_SECONDS || ageSeconds < -MAX_AHEAD_SECONDS) return false;
      const hash = hashOf(option.subarray(0, CLIENT_BYTES), stamp, address);
      return timingSafeEqual(option.subarray(CLIENT_BYTES + STAMP_BYTES), hash);
    },
    renew(option, address) {
      const client = option.subarray(0, CLIENT_BYTES);
      const stamp = Buffer.alloc(STAMP_BYTES);
      stamp[0] = 1;
      stamp.writeUInt32BE(Math.floor(nowMs() / 1000) >>> 0, 4);
      return Buffer.concat([client, stamp, hashOf(client, stamp, address)]);
    },
  };
}
