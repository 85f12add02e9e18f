import { createHmac, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";

/** Header of a request that wants a proof: 32 hexadecimal digits, other ones each time. */
export const NONCE_HEADER = "x2istio-nonce";
/** Header of the answer that has it. */
export const PROOF_HEADER = "x2istio-proof";

const NONCE = /^[0-9a-f]{32}$/;
/** Shorter secrets could be found by trying. */
const LEAST_CHARACTERS = 16;
const MOST_SECRETS = 10;

/** What an answer with names says, and to which request. */
export interface NamesClaim {
  readonly nonce: string;
  readonly status: number;
  /** The header of that name: times in names are by that clock. */
  readonly date: string;
  /** Of the state that is given, or with 304 still stands. */
  readonly etag: string;
  /** Whether endpoints were asked for. */
  readonly endpoints: boolean;
  /** SHA-256 of the body before compression, in hexadecimal digits; of nothing with 304. */
  readonly digest: string;
}

/** Whether a nonce is one. */
export function isNonce(text: string): boolean {
  return NONCE.test(text);
}

/**
 * Proof that who knows `secret` said this, now: HMAC-SHA-256 in hexadecimal digits. As the nonce is the client's, no older answer can be
 * given in its place.
 */
export function proveNames(secret: string, { nonce, status, date, etag, endpoints, digest }: NamesClaim): string {
  const text = ["x2istio names 1", nonce, status, date, etag, endpoints, digest].join("\n");
  return createHmac("sha256", secret).update(text).digest("hex");
}

/** Whether `proof` is one by any of `secrets`. */
export function isProven(secrets: readonly string[], claim: NamesClaim, proof: string): boolean {
  const given = Buffer.from(proof);
  return secrets.some((secret) => {
    const wanted = Buffer.from(proveNames(secret, claim));
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  });
}

/**
 * The secrets in a file, one on each line: the first proves, each is believed, so that one can be replaced.
 *
 * @throws {Error} When it cannot be read, or a secret has less than 16 characters. No message has a secret.
 */
export async function readSecrets(file: string): Promise<readonly [string, ...string[]]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    throw new Error(`Cannot read the secret of dns.names from ${file}: ${(cause as NodeJS.ErrnoException).code}`);
  }
  const [first, ...others] = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .slice(0, MOST_SECRETS);
  if (first === undefined || [first, ...others].some(({ length }) => length < LEAST_CHARACTERS))
    throw new Error(
      `Cannot use ${file}: each of its lines must have a secret of at least ${LEAST_CHARACTERS} characters`,
    );
  return [first, ...others];
}
