import { Agent, fetch, type Response } from "undici";
import { addressAndPort } from "../istio/address.ts";

/** A process that answers HTTP, and how it is asked. */
export interface Replica {
  /** `http://127.0.0.1:8080`, without a slash at the end. */
  readonly address: string;
  /** Sent as a bearer token. */
  readonly token?: string | undefined;
  /** Certificates in PEM to verify it by; without any, Node's. */
  readonly ca?: string | undefined;
  /** Whether `ca` is its own certificate, which is then good for any name. */
  readonly isItsOwn?: boolean;
}

/** The replica on this machine that listens there, by HTTPS if it has a certificate; "" is one that is not at hand. */
export function localReplica(
  listen: { readonly address: string; readonly port: number },
  certificate?: string,
): Replica {
  const any: Readonly<Record<string, string>> = { "0.0.0.0": "127.0.0.1", "::": "::1" };
  const place = addressAndPort(any[listen.address] ?? listen.address, listen.port);
  return certificate === undefined
    ? { address: `http://${place}` }
    : { address: `https://${place}`, ...(certificate === "" ? {} : { ca: certificate, isItsOwn: true }) };
}

/** What a call may have. */
export interface CallOptions {
  readonly method?: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/**
 * Ask one replica.
 *
 * @param read is given the answer while the connection lives
 * @throws When nobody answers.
 */
export async function callReplica<Result>(
  { address, token, ca, isItsOwn = false }: Replica,
  path: string,
  { method = "GET", headers = {}, signal }: CallOptions,
  read: (answer: Response) => Promise<Result>,
): Promise<Result> {
  const anyName = { allowPartialTrustChain: true, checkServerIdentity: () => undefined };
  const connect = ca === undefined ? {} : { ca, ...(isItsOwn ? anyName : {}) };
  const agent = new Agent({ connect });
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  try {
    const sent = { method, headers: { ...headers, ...authorization }, signal, dispatcher: agent };
    return await read(await fetch(address + path, sent));
  } finally {
    await agent.destroy();
  }
}
