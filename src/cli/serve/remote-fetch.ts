import { createHash, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { Agent, type Dispatcher, fetch, type Response } from "undici";
import type { NamesConfig } from "../../config/config.ts";
import { ConfigError } from "../../errors.ts";
import { isProven, NONCE_HEADER, PROOF_HEADER, readSecrets } from "../../http/names-proof.ts";
import type { RemoteAnswer } from "./remote-answer.ts";

/** How long the other side may wait for a change, and how long after that its answer may take. */
const WAIT_SECONDS = 20;
const REPLY_TIMEOUT_MS = 10_000;
/** Names as text; 100,000 take about 20 MB, with their endpoints more. */
const MAX_BYTES = 128 * 2 ** 20;

/** Another state than the one that is known. */
export interface Fetched extends RemoteAnswer {
  readonly etag: string | undefined;
}

/** Fetches names from another x2istio. */
export interface NamesFetcher {
  /**
   * Wait for another state than `etag`; undefined if there was none for a while.
   *
   * @throws {Error} When there is no answer that can be believed. No message has a secret.
   */
  fetch(etag: string | undefined, endpoints: boolean, signal: AbortSignal): Promise<Fetched | undefined>;
}

/**
 * Fetch from `from`, the HTTP address of an x2istio: it is believed by its certificate, by a proof that it knows the secret, or because it is
 * on this machine.
 *
 * @throws {ConfigError} When `from` is no such address, or names from there could be anyone's.
 */
export function namesFetcher(from: string, trust: NamesConfig): NamesFetcher {
  const base = baseUrl(from);
  checkTrust(base, trust);
  let agent: Dispatcher | undefined;

  async function renewAgent(): Promise<Dispatcher> {
    const ca = trust.ca === undefined ? undefined : await readTrusted(trust.ca, "dns.names.ca");
    return new Agent({ connect: { timeout: REPLY_TIMEOUT_MS, ...(ca === undefined ? {} : { ca }) } });
  }

  async function ask(etag: string | undefined, endpoints: boolean, signal: AbortSignal): Promise<Fetched | undefined> {
    agent ??= await renewAgent();
    const url = new URL(`api/names?wait=${WAIT_SECONDS}&endpoints=${endpoints}`, base);
    const nonce = randomBytes(16).toString("hex");
    const token = trust.tokenFile === undefined ? undefined : await readTrusted(trust.tokenFile, "dns.names.tokenFile");
    const headers = {
      ...(etag === undefined ? {} : { "if-none-match": etag }),
      ...(trust.secretFile === undefined ? {} : { [NONCE_HEADER]: nonce }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token.trim()}` }),
    };
    const response = await fetch(url, { headers, signal, dispatcher: agent, redirect: "error" });
    const json = response.status === 200 ? await textOf(response) : "";
    if (response.status !== 200 && response.status !== 304)
      throw new Error(`Cannot fetch names: GET ${url} answered ${response.status}`);
    await checkProof(response, json, { etag, endpoints, nonce });
    if (response.status === 304) return undefined;
    const [date, given] = ["date", "etag"].map((name) => response.headers.get(name) ?? undefined);
    return { json, date, etag: given };
  }

  async function checkProof(
    { status, headers }: Response,
    json: string,
    {
      etag,
      endpoints,
      nonce,
    }: { readonly etag: string | undefined; readonly endpoints: boolean; readonly nonce: string },
  ): Promise<void> {
    if (trust.secretFile === undefined) return;
    const secrets = await readSecrets(trust.secretFile);
    const claim = {
      ...{ nonce, status, endpoints, date: headers.get("date") ?? "" },
      etag: (status === 304 ? etag : headers.get("etag")) ?? "",
      digest: status === 304 ? "" : createHash("sha256").update(json).digest("hex"),
    };
    const proof = headers.get(PROOF_HEADER);
    if (proof === null)
      throw new Error(`Cannot believe the names of ${base}: it has no secret to prove them by (dns.names.secretFile)`);
    if (!isProven(secrets, claim, proof))
      throw new Error(`Cannot believe the names of ${base}: their proof is not by a secret in dns.names.secretFile`);
  }

  return {
    async fetch(etag, endpoints, signal) {
      const timeout = AbortSignal.timeout(WAIT_SECONDS * 1000 + REPLY_TIMEOUT_MS);
      try {
        return await ask(etag, endpoints, AbortSignal.any([signal, timeout]));
      } catch (error) {
        // Its certificates may have been replaced.
        void agent?.destroy().catch(() => undefined);
        agent = undefined;
        throw error;
      }
    },
  };
}

function baseUrl(from: string): URL {
  const url = URL.canParse(from) ? new URL(from) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new ConfigError(`--from must be an HTTP address such as https://x2istio.example.org:8080, not "${from}"`);
  if (url.username !== "" || url.password !== "")
    throw new ConfigError("--from must have no user and password: others could read it; see dns.names.tokenFile");
  return new URL(url.href.replace(/\/*$/, "/"));
}

function checkTrust({ protocol, hostname }: URL, { ca, secretFile, tokenFile }: NamesConfig): void {
  if (protocol === "https:") return;
  if (ca !== undefined) throw new ConfigError("Cannot use dns.names.ca: --from must be an https address for that");
  if (isThisMachine(hostname)) return;
  if (secretFile === undefined)
    throw new ConfigError(
      "Cannot believe names that come by plain http from another machine: --from must be an https address, or dns.names.secretFile be set on both sides",
    );
  if (tokenFile !== undefined)
    throw new ConfigError("Cannot send dns.names.tokenFile by plain http: --from must be an https address for that");
}

function isThisMachine(hostname: string): boolean {
  const address = hostname.replace(/^\[(.*)\]$/, "$1");
  return address === "localhost" || address === "::1" || (isIP(address) === 4 && address.startsWith("127."));
}

async function readTrusted(file: string, option: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    throw new Error(`Cannot read ${option} from ${file}: ${(cause as NodeJS.ErrnoException).code}`);
  }
}

async function textOf({ body }: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_BYTES) throw new Error(`Cannot fetch names: there are more than ${MAX_BYTES} bytes of them`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
