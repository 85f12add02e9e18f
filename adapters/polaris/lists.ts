import { each } from "../../src/async/each.ts";
import { ReadError } from "../../src/errors.ts";
import type { SkippedService } from "../../src/model/adapter.ts";
import { MOST_SKIPPED, namelessService, ownService, unwantedService } from "../shapes/skipped.ts";
import type { PolarisClient } from "./client/client.ts";
import type { Name, Reply } from "./client/reply.ts";
import { idOf } from "./links.ts";
import type { Outside } from "./scope.ts";

/** The scope that is all namespaces; any other is the one of that name. */
export const ALL = "";

/** The names of one scope. */
export interface List {
  readonly revision: string;
  /** Those that are asked for. */
  readonly names: readonly Name[];
  readonly ids: ReadonlySet<string>;
  /** Of all names, also those that are not asked for. */
  readonly count: number;
  readonly skipped: Readonly<Record<Outside, number>>;
  /** Some of those that are not asked for. */
  readonly skippedServices?: readonly SkippedService[];
}

/** What became of the question for one scope's list. */
export type ListResult = { readonly scope: string } & (
  | { readonly state: "ok"; readonly reply: Reply }
  | { readonly state: "unchanged" }
  | { readonly state: "failed"; readonly cause: ReadError }
);

/** Read the list of every scope, by its revision where `revisionOf` gives one. */
export async function readLists(
  scopes: readonly string[],
  revisionOf: (scope: string) => string,
  { client, maxInFlight }: { readonly client: PolarisClient; readonly maxInFlight: number },
  signal: AbortSignal,
): Promise<readonly ListResult[]> {
  const results: ListResult[] = [];
  await each(scopes, maxInFlight, async (scope) => {
    try {
      const question = { type: "SERVICES" as const, namespace: scope, revision: revisionOf(scope) };
      const answer = await client.discover(question, signal);
      if (answer.state === "ok") results.push({ scope, state: "ok", reply: answer.reply });
      else results.push({ scope, state: "unchanged" });
    } catch (cause) {
      signal.throwIfAborted();
      if (!(cause instanceof ReadError)) throw cause;
      results.push({ scope, state: "failed", cause });
    }
  });
  return results;
}

/** The list that an answer gives, without the names that are none of ours. */
export function listOf({ revision, services }: Reply, judge: (name: Name) => Outside | undefined): List {
  const skipped: Record<Outside, number> = { infrastructure: 0, filter: 0, name: 0 };
  const told: SkippedService[] = [];
  const names = services.filter((name) => {
    const outside = judge(name);
    if (outside !== undefined) skipped[outside]++;
    if (outside === "name") told.push(namelessService(name.namespace, name.name));
    if (outside === "infrastructure" && told.length < MOST_SKIPPED) told.push(ownService(name.namespace, name.name));
    if (outside === "filter" && told.length < MOST_SKIPPED) told.push(unwantedService(name.namespace, name.name));
    return outside === undefined;
  });
  const skippedServices = told
    .sort((a, b) => Number(a.kind === "filter") - Number(b.kind === "filter") || (a.name < b.name ? -1 : 1))
    .slice(0, MOST_SKIPPED);
  return { revision, names, ids: new Set(names.map(idOf)), count: services.length, skipped, skippedServices };
}
