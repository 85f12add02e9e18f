import type { NameQuestions } from "../../model/usage.ts";

/** How a question came in. */
export type Transport = "udp" | "tcp";

/** One answer, for the metrics. */
export interface AnswerEvent {
  readonly transport: Transport;
  /** By name: "NOERROR". */
  readonly rcode: string;
  /** By name: "A"; "other" for rare types and for questions that cannot be read. */
  readonly type: string;
  /**
   * Who gave it: our names, an upstream, the cache of what upstreams said, the same although its time is over, or nobody, as the query
   * was not one to look up. "limited" is an empty answer by the rate limit, "dropped" none at all.
   */
  readonly source: "table" | "forward" | "cache" | "stale" | "refused" | "limited" | "dropped";
  /** As configured; "mesh" for who is given VIPs. */
  readonly view: string;
}

/** How an answer came about: ready-made, made at once, or after waiting for a VIP to settle or an upstream. */
export type AnswerPath = "ready" | "made" | "waited";

/** One question of the query log. */
export interface LoggedQuery extends AnswerEvent {
  readonly client: string;
  /** As asked, in lower case; "" for the root and where none could be read. */
  readonly name: string;
  readonly bytes: number;
}

/** Called while answering, so they must be quick and must not throw. */
export interface DnsHooks {
  /** `count` answers of one kind, 1 if left out. */
  onAnswer?(event: AnswerEvent, count?: number): void;
  /** How long an answer by UDP took, for all that waited and each 64th of the others. */
  onDuration?(path: AnswerPath, seconds: number): void;
  /** A question that is in the sample of the query log. */
  onQuery?(query: LoggedQuery): void;
  /** Which of our names were asked for in the last second; of each thread, 1,000 names at most. */
  onQuestions?(questions: readonly NameQuestions[]): void;
  /** A question for a service that nobody has asked for yet. */
  onWanted?(wanted: Wanted): void;
  /** `count` questions, 1 if left out, that were held back until they could be answered; failed: the client got SERVFAIL. */
  onHeld?(result: HeldResult, count?: number): void;
  /** `count` items, 1 if left out, that made room for those of other clients, or for later ones of the same. */
  onDropped?(what: Dropped, count?: number): void;
  /** An exception while answering; the client got SERVFAIL. */
  onException?(error: unknown): void;
}

/** What became of questions that were held back. */
export type HeldResult = "answered" | "failed";

/** What a client can have too much of: questions to upstreams, questions held back, TCP connections. */
export type Dropped = "forward" | "hold" | "connection";

/** Who asks for a service that nobody has asked for yet. */
export interface Wanted {
  readonly service: string;
  readonly view: string;
  readonly client: string;
}
