import { ReadError } from "../../src/errors.ts";
import type { ConsulClient } from "./client/client.ts";
import { LEADER_PARSER, SERVICES_PARSER } from "./client/reply.ts";
import type { Answer, Query } from "./client/request.ts";

/** Filters that let nothing through: what is wanted is the index alone. */
const NO_NODES = 'Node == ""';
const NO_CHECKS = 'CheckID == ""';

/** A query whose index moves with nodes and registrations; its answer is all but empty. */
export const NODES = { path: "/v1/catalog/nodes", params: { filter: NO_NODES } };
/** Likewise with checks, but each question has Consul look at all of them: for polls only. */
export const CHECKS = { path: "/v1/health/state/any", params: { filter: NO_CHECKS } };
/** The list of services; its index moves with registrations. */
export const SERVICES = { path: "/v1/catalog/services", params: {} };
/** Which no node has: the answer holds nothing but the index of registrations, and costs Consul next to nothing. */
export const REGISTRATIONS = { path: SERVICES.path, params: { "node-meta": "x2istio:none" } };
/** Checks that are in one of these states take an instance out, or change its weight. A query wakes when they come and when they leave. */
export const UNHEALTHY = ["/v1/health/state/critical", "/v1/health/state/warning"] as const;
/** An answer that holds the names of all services. */
export type ListAnswer = Answer<readonly string[]>;

/** Where the instances of a service are read. */
export function healthPath(name: string): string {
  return `/v1/health/service/${encodeURIComponent(name)}`;
}

/** Indexes of whole tables. */
export interface Indexes {
  readonly services: number;
  readonly nodes: number;
  readonly checks: number;
}

/** What a poll asks before it asks for services. */
export interface Tables {
  /** The list of services. */
  readonly list: ListAnswer;
  /** As they were before the list was read. */
  readonly indexes: Indexes;
  /** Differs when anything has changed; `undefined` when nothing can be shown to be as it was. */
  readonly evidence: string | undefined;
}

/** Whose tables are read. */
export interface TableOptions {
  readonly client: ConsulClient;
  readonly dc: string | undefined;
  /** As in a query. */
  readonly isSure: boolean;
}

/** Read the list of services, and the indexes as they were before. @throws {ReadError} */
export async function readTables({ client, dc, isSure }: TableOptions, signal: AbortSignal): Promise<Tables> {
  const ask = <Result>(path: string, query: Partial<Query<Result>>) =>
    client.get(path, { dc, isSure, ...query }, signal);
  const [{ index: nodes }, { index: checks }, leader] = await Promise.all([
    ask(NODES.path, { params: NODES.params }),
    ask(CHECKS.path, { params: CHECKS.params }),
    leaderNow(client, dc, signal),
  ]);
  const list = await ask(SERVICES.path, { parser: SERVICES_PARSER });
  const indexes = { services: list.index, nodes, checks };
  const isWhole = Object.values(indexes).every((index) => index > 0) && leader !== "";
  return { list, indexes, evidence: isWhole ? JSON.stringify([indexes, leader, client.identity()]) : undefined };
}

/** Empty where it cannot be told, as behind a proxy that lets only other paths through: then everything may have changed. */
async function leaderNow(client: ConsulClient, dc: string | undefined, signal: AbortSignal): Promise<string> {
  try {
    return (await client.get("/v1/status/leader", { dc, parser: LEADER_PARSER }, signal)).result();
  } catch {
    signal.throwIfAborted();
    return "";
  }
}

/** Whether one of the indexes went backwards, as after a restart or a restore. */
export function isBehind(now: Indexes, before: Indexes): boolean {
  return now.services < before.services || now.nodes < before.nodes || now.checks < before.checks;
}

/** Parse an answer, and say whose it is when it cannot be understood. @throws {ReadError} */
export function understood<Result>(path: string, dc: string | undefined, parse: () => Result): Result {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof ReadError)) throw cause;
    throw new ReadError(cause.failure, `GET ${path}${inDatacenter(dc)}: ${cause.message}`);
  }
}

/** ` in dc1` */
export function inDatacenter(dc: string | undefined): string {
  return dc === undefined ? "" : ` in ${dc}`;
}
