import type { NameTable } from "../model/name-table.ts";
import { type Answer, answer, type Upstream, type Zone, zonesByName } from "./answer.ts";
import { RCODE, rcodeName, typeName } from "./codes.ts";
import type { Forwarder, Transport } from "./forward.ts";
import type { Hold } from "./hold.ts";
import {
  decodeQuery,
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
  onAnswer?(event: AnswerEvent): void;
  /** An exception while answering; the client got SERVFAIL. */
  onException?(error: unknown): void;
}

/** What answers are made from. */
export interface RespondOptions {
  readonly ttlSeconds: number;
  readonly zones: readonly Zone[];
  readonly forward: readonly Upstream[];
  /** The names; undefined as long as they are not known, which is answered with SERVFAIL. */
  readonly table: () => NameTable | undefined;
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
  const { isAllowed, forwarder, hold, hooks, log } = options;
  const byName = zonesByName(options.zones);
  const recursionAvailable = options.forward.length > 0 || options.zones.some(({ forward }) => forward.length > 0);

  function lookUp(question: Question): Answer {
    const table = options.table();
    if (table === undefined) return { kind: "reply", ...failure(RCODE.SERVFAIL) };
    return answer(question, table, {
      byName,
      forward: options.forward,
      ttlSeconds: options.ttlSeconds,
      nowMs: Date.now(),
    });
  }

  function count(query: Query, rcode: number, transport: Transport, source: Source) {
    hooks.onAnswer?.({ transport, rcode: rcodeName(rcode), type: typeName(query.question?.type), source });
  }

  function finish(query: Query, reply: Reply, transport: Transport, source: Source): Buffer {
    const message = encodeReply(query, reply, {
      maxBytes: transport === "udp" ? MAX_UDP_BYTES : 0xffff,
      recursionAvailable,
    });
    count(query, reply.rcode, transport, source);
    return message;
  }

  async function relay(query: Query, to: readonly Upstream[], transport: Transport): Promise<Buffer> {
    const message = await forwarder.ask(query, to, transport);
    if (message === undefined) return finish(query, failure(RCODE.SERVFAIL), transport, "forward");
    count(query, rcodeOf(message), transport, "forward");
    return relayedReply(query, message, transport === "udp" ? MAX_UDP_BYTES : 0xffff);
  }

  async function conclude(
    query: Query & { fault: undefined },
    first: Exclude<Answer, { kind: "reply" }>,
    transport: Transport,
  ) {
    const found = first.kind === "held" ? await hold.wait(first, () => lookUp(query.question)) : first;
    if (found === undefined) return finish(query, failure(RCODE.SERVFAIL), transport, "table");
    if (found.kind === "forward") return relay(query, found.to, transport);
    return finish(query, found, transport, sourceOf(found));
  }

  function fail(query: Query, transport: Transport, error: unknown): Buffer {
    log.warn({ error, name: query.question?.name }, "cannot answer a query");
    hooks.onException?.(error);
    return finish(query, failure(RCODE.SERVFAIL), transport, "table");
  }

  return (packet, address, transport) => {
    const query = decodeQuery(packet);
    if (query === undefined) return undefined;
    try {
      if (!isAllowed(address)) return finish(query, failure(RCODE.REFUSED), transport, "refused");
      if (query.fault !== undefined) return finish(query, failure(query.fault), transport, "refused");
      const found = lookUp(query.question);
      if (found.kind === "reply") return finish(query, found, transport, sourceOf(found));
      return conclude(query, found, transport).catch((error: unknown) => fail(query, transport, error));
    } catch (error) {
      return fail(query, transport, error);
    }
  };
}

function sourceOf({ rcode, authoritative }: Reply): Source {
  return authoritative || rcode === RCODE.SERVFAIL ? "table" : "refused";
}

function failure(rcode: number): Reply {
  return { rcode, authoritative: false, answers: [], authority: [] };
}
