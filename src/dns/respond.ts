import {
  type Answer,
  type AnswerTable,
  answer,
  type Chain,
  type Held,
  type Upstream,
  type ZoneIndex,
} from "./answer.ts";
import { answeredSubnet, type ClientSubnet, readClientSubnet } from "./client-subnet.ts";
import { OPTION, RCODE, rcodeName, TYPE, typeName } from "./codes.ts";
import type { Cookies } from "./cookies.ts";
import type { AnswerEvent, DnsHooks, Wanted } from "./events.ts";
import { addressesIn } from "./foreign.ts";
import type { Transport } from "./forward.ts";
import type { Hold } from "./hold.ts";
import type { LoopProbe } from "./loop-probe.ts";
import {
  decodeQuery,
  EDNS_UDP_BYTES,
  type EdnsOptions,
  encodeForeign,
  encodeReply,
  MAX_UDP_BYTES,
  type Query,
  type Question,
  type Reply,
  truncated,
} from "./message.ts";
import type { DnsLog } from "./quiet-log.ts";
import type { Verdict } from "./rate-limit.ts";
import type { Found, Resolver } from "./resolver.ts";
import { askedFor, askedOf } from "./upstream-query.ts";
import type { View } from "./views.ts";

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
  /** What a client is given; undefined for the VIPs. */
  readonly viewOf: (address: string) => View | undefined;
  /** Whether a client's word counts for where its own client is (RFC 7871 §11). */
  readonly isForwarder: (address: string) => boolean;
  readonly resolver: Resolver;
  readonly loops: LoopProbe;
  readonly hold: Hold;
  /** Told of questions for names that have a row. */
  readonly onAsked?: ((name: string, view: string, client: string) => void) | undefined;
  /** Told of questions for services that nobody has asked for yet. */
  readonly onWanted?: ((wanted: Wanted) => void) | undefined;
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
  how?: Handling,
) => Buffer | undefined | Promise<Buffer | undefined>;

/** What is known of a packet before it is read. */
export interface Handling {
  /** Anything but "answer" only holds for a client without a valid cookie. */
  readonly verdict?: Verdict;
  /** Whether it is in the sample of the query log. */
  readonly isLogged?: boolean;
}

type Source = AnswerEvent["source"];

/** From packet to packet, whatever it travels by. */
export function responder(options: RespondOptions): Respond {
  const { isAllowed, resolver, loops, hold, hooks, log, cookies, nsid, onAsked, onWanted } = options;
  const { recursionAvailable, viewOf, isForwarder } = options;
  let turn = 0;

  function lookUp(question: Question, { view }: Client): Answer {
    const table = options.table();
    if (table === undefined) return { kind: "reply", ...failure(RCODE.SERVFAIL) };
    return answer(question, table, {
      ...options.zones,
      forward: options.forward,
      ttlSeconds: options.ttlSeconds,
      tellsServices: options.tellsServices,
      nowMs: Date.now(),
      ...(view === undefined ? {} : { view, turn: turn++ }),
    });
  }

  function count(query: Query, rcode: number, client: Client, source: Source, bytes: number) {
    const { transport, address } = client;
    const view = viewNameOf(client);
    const event = { transport, rcode: rcodeName(rcode), type: typeName(query.question?.type), source, view };
    hooks.onAnswer?.(event);
    if (client.isLogged) hooks.onQuery?.({ ...event, client: address, name: query.question?.name ?? "", bytes });
  }

  /** Whether the client has shown that it receives our answers (RFC 7873 §1). */
  function isProven({ edns }: Query, { address, transport }: Client): boolean {
    return transport === "tcp" || (edns?.cookie !== undefined && cookies.isValid(edns.cookie, address));
  }

  /** What a forged sender may cause is 512 octets; others get what they can take. */
  function maxBytes(query: Query, client: Client): number {
    if (client.transport === "tcp") return 0xffff;
    const { udpBytes = 0 } = query.edns ?? {};
    return isProven(query, client) ? Math.min(Math.max(udpBytes, MAX_UDP_BYTES), EDNS_UDP_BYTES) : MAX_UDP_BYTES;
  }

  function ednsOptions({ edns }: Query, { address, subnet }: Client, dependsOnClient: boolean): EdnsOptions {
    return {
      ...(subnet === undefined ? {} : { [OPTION.CLIENT_SUBNET]: answeredSubnet(subnet, dependsOnClient) }),
      ...(edns?.wantsNsid && nsid !== undefined ? { [OPTION.NSID]: Buffer.from(nsid) } : {}),
      ...(edns?.cookie === undefined ? {} : { [OPTION.COOKIE]: cookies.renew(edns.cookie, address) }),
    };
  }

  function finish(query: Query, reply: Reply, client: Client, source: Source): Buffer {
    const edns = ednsOptions(query, client, reply.authoritative);
    const message = encodeReply(query, reply, { maxBytes: maxBytes(query, client), recursionAvailable, edns });
    count(query, reply.rcode, client, source, message.length);
    return message;
  }

  function passOn(
    query: Query,
    { answer, ageSeconds, staleTtlSeconds }: Found,
    client: Client,
    source: Source,
  ): Buffer {
    const from = staleTtlSeconds === undefined ? source : "stale";
    if (answer === undefined) return finish(query, failure(RCODE.SERVFAIL), client, from);
    const how = { ageSeconds, staleTtlSeconds, recursionAvailable };
    const more = { maxBytes: maxBytes(query, client), edns: ednsOptions(query, client, false) };
    const message = encodeForeign(query, answer, { ...how, ...more });
    count(query, answer.rcode, client, from, message.length);
    return message;
  }

  /** From memory at once, else from upstreams later. */
  function relay(query: Query, to: readonly Upstream[], client: Client): Buffer | Promise<Buffer> {
    const asked = askedOf(query.packet, query.questionEnd, query.edns?.dnssecOk ?? false);
    const known = resolver.find(asked.key);
    if (known !== undefined) return passOn(query, known, client, "cache");
    return resolver.ask(asked, to).then((found) => passOn(query, found, client, "forward"));
  }

  /** Our CNAMEs, with the addresses that others have for their target; the code is theirs (RFC 6604 §3). */
  function follow(query: Query & { fault: undefined }, chain: Chain, client: Client): Buffer | Promise<Buffer> {
    const { type } = query.question;
    const asked = askedFor(chain.target, type);
    const give = (found: Found | undefined): Buffer => {
      if (found?.answer === undefined) return finish(query, failure(RCODE.SERVFAIL), client, "forward");
      const addresses = addressesIn(found.answer, type, found);
      const family = type === TYPE.A ? ("A" as const) : ("AAAA" as const);
      const records = addresses.map((one) => ({ name: chain.target, type: family, ...one }));
      const reply = {
        rcode: found.answer.rcode,
        authoritative: true,
        answers: [...chain.answers, ...records],
        authority: [],
      };
      return finish(query, reply, client, "table");
    };
    const known = asked === undefined ? undefined : resolver.find(asked.key);
    return asked === undefined || known !== undefined ? give(known) : resolver.ask(asked, chain.to).then(give);
  }

  async function conclude(query: Query & { fault: undefined }, first: Held, client: Client) {
    if (first.wants !== undefined)
      onWanted?.({ service: first.wants, view: viewNameOf(client), client: client.address });
    const found = await hold.wait(first, () => lookUp(query.question, client));
    hooks.onHeld?.(found === undefined ? "failed" : "answered");
    if (found === undefined) return finish(query, failure(RCODE.SERVFAIL), client, "table");
    if (found.kind === "forward") return relay(query, found.to, client);
    if (found.kind === "chain") return follow(query, found, client);
    return finish(query, found, client, sourceOf(found));
  }

  function fail(query: Query, client: Client, error: unknown): Buffer {
    log.warn({ error, name: query.question?.name }, "cannot answer a query");
    hooks.onException?.(error);
    return finish(query, failure(RCODE.SERVFAIL), client, "table");
  }

  /** Who asks, by the word of its resolver where that counts; undefined where that word cannot be understood. */
  function clientOf({ edns }: Query, address: string, transport: Transport, isLogged: boolean): Client | undefined {
    const data = edns?.clientSubnet;
    if (data === undefined || !isForwarder(address)) return { address, transport, isLogged, view: viewOf(address) };
    const subnet = readClientSubnet(data);
    return (
      subnet && { address, transport, isLogged, subnet, view: viewOf(subnet.bits === 0 ? address : subnet.address) }
    );
  }

  function limit(query: Query, client: Client, verdict: Verdict): Buffer | undefined {
    const reply = verdict === "drop" ? undefined : truncated(query);
    count(query, RCODE.NOERROR, client, reply === undefined ? "dropped" : "limited", reply?.length ?? 0);
    return reply;
  }

  function answerTo(query: Query, client: Client): Buffer | Promise<Buffer> {
    if (!isAllowed(client.address)) return finish(query, failure(RCODE.REFUSED), client, "refused");
    if (query.fault !== undefined) return finish(query, failure(query.fault), client, "refused");
    const probe = loops.recordFor(query.question);
    if (probe !== undefined) return finish(query, { ...failure(RCODE.NOERROR), answers: [probe] }, client, "refused");
    const found = lookUp(query.question, client);
    const { name } = query.question;
    if (options.table()?.names.get(name) !== undefined) onAsked?.(name, viewNameOf(client), client.address);
    if (found.kind === "reply") return finish(query, found, client, sourceOf(found));
    if (found.kind === "chain") return follow(query, found, client);
    return found.kind === "held" ? conclude(query, found, client) : relay(query, found.to, client);
  }

  return (packet, address, transport, { verdict = "answer", isLogged = false } = {}) => {
    const query = decodeQuery(packet);
    if (query === undefined) return undefined;
    const plain: Client = { address, transport, isLogged, view: undefined };
    const client = clientOf(query, address, transport, isLogged);
    try {
      if (client === undefined) return finish(query, failure(RCODE.FORMERR), plain, "refused");
      if (verdict !== "answer" && !isProven(query, client)) return limit(query, client, verdict);
      const reply = answerTo(query, client);
      return reply instanceof Promise ? reply.catch((error: unknown) => fail(query, client, error)) : reply;
    } catch (error) {
      return fail(query, plain, error);
    }
  };
}

interface Client {
  readonly address: string;
  readonly transport: Transport;
  readonly isLogged: boolean;
  readonly view: View | undefined;
  /** Where its own client is, by its trusted word. */
  readonly subnet?: ClientSubnet;
}

function viewNameOf({ view }: Client): string {
  return view === undefined || view.answer === "vips" ? "mesh" : view.name;
}

function sourceOf({ rcode, authoritative }: Reply): Source {
  return authoritative || rcode === RCODE.SERVFAIL ? "table" : "refused";
}

function failure(rcode: number): Reply {
  return { rcode, authoritative: false, answers: [], authority: [] };
}
