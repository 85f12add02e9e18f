import { request } from "undici";
import { type Compared, createNumbering, inWords } from "./compare.ts";
import { type Json, parsedJson } from "./forms.ts";
import type { Polaris } from "./polaris.ts";
import { type Recording, recording } from "./recordings.ts";

/** Why recordings cannot be replayed over HTTP; the keys are the starts of their names. */
export const NOT_REPLAYED: Readonly<Record<string, string>> = {
  "20": "gRPC: the server here speaks HTTP only",
  "22": "CL5's own binary protocol on port 7779",
  "310-grpc": "gRPC",
  "311-grpc": "gRPC",
  "320-grpc": "gRPC",
  "321-grpc": "gRPC",
  "330": "makes a user, which nothing here needs; Polaris.setToken stands in for it",
  "334": "gives a user the read-only policy; Polaris.setToken stands in for it",
};

/** What happened to the real server just before a recording, other than by a request. */
export type Interludes = Readonly<Record<string, (polaris: Polaris) => void>>;

/** A recording and what the server here answered, in words that must be equal. */
export interface Replayed {
  readonly name: string;
  readonly want: string;
  readonly got: string;
}

async function ask(address: string, { method, path, headers, body }: Recording["request"]): Promise<Compared> {
  const text = typeof body === "string" || body === null ? body : JSON.stringify(body);
  try {
    const answer = await request(address + path, { method: method as "GET", headers: { ...headers }, body: text });
    const received = Object.entries(answer.headers).map(([name, value]) => [name, String(value)]);
    const read = await answer.body.text();
    return { status: answer.statusCode, headers: Object.fromEntries(received), body: parsedJson(read) };
  } catch (error) {
    if ((error as { readonly code?: unknown }).code !== "UND_ERR_SOCKET") throw error;
    return { status: null, headers: {}, body: null };
  }
}

/** A recorded page of services, but with those that are on the page here: which they are is a matter of random ids. */
function withServicesOf(page: Compared, whole: Recording, here: Compared): Compared {
  const names = new Set(((here.body as Json)["services"] as readonly Json[]).map(({ name }) => name));
  const all = (whole.response.body as Json)["services"] as readonly Json[];
  const { "Content-Length": _length, ...headers } = page.headers;
  return { ...page, headers, body: { ...(page.body as Json), services: all.filter(({ name }) => names.has(name)) } };
}

/** Pages of services, and the recording that lists all of them. */
const PAGES: Readonly<Record<string, string>> = {
  "073-console-services": "076-console-services-limit-500",
  "074-console-services-page2": "076-console-services-limit-500",
};

/** Its Content-Length is that of a token which the recording does not hold. */
const TOKEN_TAKEN_OUT = "320-login";

/** Send recorded requests in order, with the revisions that this server gave, and compare its answers. */
export async function replay(polaris: Polaris, names: readonly string[], interludes: Interludes): Promise<Replayed[]> {
  const [there, here] = [createNumbering(), createNumbering()];
  const replayed: Replayed[] = [];
  for (const name of names) {
    interludes[name]?.(polaris);
    const recorded = recording(name);
    const got = await ask(polaris.address, translated(recorded.request));
    const page = PAGES[name];
    const want = page === undefined ? recorded.response : withServicesOf(recorded.response, recording(page), got);
    const unsized = page !== undefined || name === TOKEN_TAKEN_OUT;
    replayed.push({ name, want: inWords(want, there, unsized), got: inWords(got, here, unsized) });
  }
  return replayed;

  function translated(asked: Recording["request"]): Recording["request"] {
    const { service, ...rest } = (typeof asked.body === "object" ? (asked.body ?? {}) : {}) as Json;
    const revision = (service as Json | undefined)?.["revision"];
    if (typeof revision !== "string") return asked;
    const ours = here.named(there.known(revision)) ?? revision;
    return { ...asked, body: { ...rest, service: { ...(service as Json), revision: ours } } };
  }
}
