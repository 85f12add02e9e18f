import { type Answer, type AnswerTable, answer, type Upstream, type ZoneIndex } from "./answer.ts";
import { OPTION, RCODE, rcodeName, typeName } from "./codes.ts";
import type { Cookies } from "./cookies.ts";
import type { Forwarder, Transport } from "./forward.ts";
import type { Hold } from "./hold.ts";
import {
  decodeQuery,
  EDNS_UDP_BYTES,
  type EdnsOptions,
  encodeReply,
  MAX_UDP_BYTES,
  type Query,
  type Question,
  type Reply,
  rcodeOf,
  relayedReply,
} from "./message.ts";
import type { DnsLog } from "./quiet-log.ts";

/** One answer, for the metrics. */
export interface AnswerEvent {
  readonly transport: Transport;
  /** By name: "NOERROR". */
  readonly rcode: string;
  /** By name: "A"; "other" for rare types and for questions that cannot be read. */
  readonly type: string;
  /** Who gave it: our names, an upstream, or nobody, as the query was not one to look up. */
  readonly source: "table" | "forward" | "refused";
}

/** Called while answering, so they must be quick and must not throw. */
export interface DnsHooks {
  /** `count` answers of one kind, 1 if left out. */
  onAnswer?(event: AnswerEvent, count?: number): void;
  /** An exception while answering; the client got SERVFAIL. */
  onException?(error: unknown): void;
}

/** What answers are made from. */
export interface RespondOptions {
  readonly ttlSeconds: number;
  readonly zones: ZoneIndex;
  readonly forward: readonly Upstream[];
  /** RA: someone else can be asked (RFC 1035 §4.1.1). */
  readonly recursionAvailable: boolean;
  /** The names; undefined as long as they are not known, which is answered with SERVFAIL. */
  readonly table: () => AnswerTable | undefined;
  /** Whether TXT tells which service a name leads to. */
  readonly tellsServices: boolean;
  /** What this server calls itself to those who ask (RFC 5001). */
  readonly nsid: string | undefined;
  readonly cookies: Cookies;
  readonly isAllowed: (address: string) => boolean;
  readonly forwarder: Forwarder;
  readonly hold: Hold;
  readonly hooks: DnsHooks;
  readonly log: DnsLog;
}

/**
 * The answer to a packet from a client; undefined for what must not be answered.
 * A promise only where there is something to wait for; it does not reject.
 */
export type Respond = (
  packet: Buffer,
  address: string,
  transport: Transport,
) => Buffer | undefined | Promise<Buffer | undefined>;

type Source = AnswerEvent["source"];

/** From packet to packet, whatever it travels by. */
export function responder(options: RespondOptions): Respond {
  const { isAllowed, forwarder, hold, hooks, log, cookies, nsid } = options;
  const { recursionAvailable } = options;

  function lookUp(question: Question): Answer {
    const table = options.table();
    if (table === undefined) return { kind: "reply", ...failure(RCODE.SERVFAIL) };
    return answer(question, table, {
      ...options.zones,
      forward: options.forward,
      ttlSeconds: options.ttlSeconds,
      tellsServices: options.tellsServices,
      nowMs: Date.now(),
    });
  }

  function count(query: Query, rcode: number, { transport }: Client, source: Source) {
    hooks.onAnswer?.({ transport, rcode: rcodeName(rcode), type: typeName(query.question?.type), source });
  }

  /** What a forged sender may cause is 512 octets; who has shown that it receives our answers gets what it can take (RFC 7873 §1). */
  function maxBytes({ edns }: Query, { address, transport }: Client): number {
    if (transport === "tcp") return 0xffff;
    const isProven = edns?.cookie !== undefined && cookies.isValid(edns.cookie, address);
    return isProven ? Math.min(Math.max(edns.udpBytes, MAX_UDP_BYTES), EDNS_UDP_BYTES) : MAX_UDP_BYTES;
  }

  function ednsOptions({ edns }: Query, { address }: Client): EdnsOptions {
    return {
      ...(edns?.wantsNsid && nsid !== undefined ? { [OPTION.NSID]: Buffer.from(nsid) } : {}),
      ...(edns?.cookie === undefined ? {} : { [OPTION.COOKIE]: cookies.renew(edns.cookie, address) }),
    };
  }

  function finish(query: Query, reply: Reply, client: Client, source: Source): Buffer {
    const edns = ednsOptions(query, client);
    const message = encodeReply(query, reply, { maxBytes: maxBytes(query, client), recursionAvailable, edns });
    count(query, reply.rcode, client, source);
    return message;
  }

  async function relay(query: Query, to: readonly Upstream[], client: Client): Promise<Buffer> {
    const message = await forwarder.ask(query, to, client.transport);
    if (message === undefined) return finish(query, failure(RCODE.SERVFAIL), client, "forward");
    count(query, rcodeOf(message), client, "forward");
    return relayedReply(query, message, maxBytes(query, client));
  }

  async function conclude(
    query: Query & { fault: undefined },
    first: Exclude<Answer, { kind: "reply" }>,
    client: Client,
  ) {
    const found = first.kind === "held" ? await hold.wait(first, () => lookUp(query.question)) : first;
    if (found === undefined) return finish(query, failure(RCODE.SERVFAIL), client, "table");
    if (found.kind === "forward") return relay(query, found.to, client);
    return finish(query, found, client, sourceOf(found));
  }

  function fail(query: Query, client: Client, error: unknown): Buffer {
    log.warn({ error, name: query.question?.name }, "cannot answer a query");
    hooks.onException?.(error);
    return finish(query, failure(RCODE.SERVFAIL), client, "table");
  }

  return (packet, address, transport) => {
    const query = decodeQuery(packet);
    if (query === undefined) return undefined;
    const client = { address, transport };
    try {
      if (!isAllowed(address)) return finish(query, failure(RCODE.REFUSED), client, "refused");
      if (query.fault !== undefined) return finish(query, failure(query.fault), client, "refused");
      const found = lookUp(query.question);
      if (found.kind === "reply") return finish(query, found, client, sourceOf(found));
      return conclude(query, found, client).catch((error: unknown) => fail(query, client, error));
    } catch (error) {
      return fail(query, client, error);
    }
  };
}

interface Client {
  readonly address: string;
  readonly transport: Transport;
}

function sourceOf({ rcode, authoritative }: Reply): Source {
  return authoritative || rcode === RCODE.SERVFAIL ? "table" : "refused";
}

function failure(rcode: number): Reply {
  return { rcode, authoritative: false, answers: [], authority: [] };
}
