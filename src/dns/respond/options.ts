import type { AnswerTable } from "../answer/table.ts";
import type { View } from "../answer/views.ts";
import type { ZoneIndex } from "../answer/zones.ts";
import type { LoopProbe } from "../forward/loop-probe.ts";
import type { Resolver } from "../forward/resolver.ts";
import type { Upstream } from "../forward/upstream.ts";
import type { DnsHooks, Transport, Wanted } from "../observe/hooks.ts";
import type { DnsLog } from "../observe/quiet-log.ts";
import type { Cookies } from "../wire/cookies.ts";
import type { Hold } from "./hold.ts";

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
  /** Name of this server for clients that ask by NSID (RFC 5001). */
  readonly nsid: string | undefined;
  readonly cookies: Cookies;
  readonly isAllowed: (address: string) => boolean;
  /** What a client is given; undefined for the VIPs. */
  readonly viewOf: (address: string) => View | undefined;
  /** Whether a client is a resolver that is trusted to say where its own client is (RFC 7871 §11). */
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

/** What becomes of a question by UDP from a client that has not proven its address. */
export type Verdict = "answer" | "truncate" | "drop";

/** What is known of a packet before it is read. */
export interface Handling {
  /** Anything but "answer" only holds for a client without a valid cookie. */
  readonly verdict?: Verdict;
  /** Whether it is in the sample of the query log. */
  readonly isLogged?: boolean;
}
