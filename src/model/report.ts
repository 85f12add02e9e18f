import type { ServiceKey } from "./service.ts";

/** What a caller asks for: a service of a registry, or a name of one (host, legacy name, L5 `modid:cmdid`). */
export type Report =
  | { readonly registry: string; readonly namespace: string; readonly service: string }
  | { readonly name: string };

/** Where a service can be called. */
export interface Place {
  readonly service: ServiceKey;
  readonly host: string;
  /** IPv4 first. */
  readonly vips: readonly string[];
  readonly ports: readonly { readonly name: string; readonly number: number; readonly transport: "tcp" | "udp" }[];
}

/** What became of a report. */
export type ReportAnswer =
  | ({ readonly state: "ready" } & Place)
  /** It is on its way: ask again. `why` it may take longer: a sentence without a full stop. */
  | { readonly state: "pending"; readonly service: ServiceKey; readonly host: string; readonly why?: string }
  /** There is no such service; names that are nearly the same. */
  | { readonly state: "unknown"; readonly nearest: readonly string[] }
  /** It cannot be said now whether there is: a sentence without a full stop. */
  | { readonly state: "unavailable"; readonly why: string };

/** Takes reports. */
export interface ReportHandler {
  /** Note that `caller` asks for these, and answer once all can be called, or after a while. */
  report(reports: readonly Report[], caller: string, signal: AbortSignal): Promise<readonly ReportAnswer[]>;
}

/** What was made of a token. */
export type TokenVerdict =
  /** `name` is the caller's own where the token says who it is. */
  | { readonly state: "accepted"; readonly name?: string }
  | { readonly state: "refused" | "unavailable"; readonly name?: undefined };

/** Judges the tokens of those who report. `client` says whose share of questions to a cluster it costs. */
export type TokenJudge = (token: string, client?: string) => Promise<TokenVerdict>;

/** What was made of a token of someone who wants to read: denied is somebody who is known and may not. */
export type AccessVerdict = TokenVerdict | { readonly state: "denied"; readonly name: string };
