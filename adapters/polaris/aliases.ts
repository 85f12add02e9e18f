import { isDeepStrictEqual } from "node:util";
import { ReadError } from "../../src/errors.ts";
import type { ServiceRead, SkippedService } from "../../src/model/adapter.ts";
import { type Service, type ServiceKey, serviceKey } from "../../src/model/service.ts";
import { fewNotes } from "../mapping.ts";
import type { Name } from "./client/reply.ts";
import { idOf, type Known, type Links, linksOf, type Scope, sidFault } from "./links.ts";

/** All that is known, as the mesh is to see it. */
export interface Resolution {
  /** By service key. */
  readonly reads: readonly ServiceRead[];
  /** Services that are not for the mesh. */
  readonly skipped: readonly SkippedService[];
  /** Aliases of services that should be listed and are not. */
  readonly dangling: readonly Name[];
}

/** What was added to a service as it was read, and the result. */
interface Finished {
  readonly base: Service;
  readonly added: Pick<Service, "aliases" | "aliasesOnly" | "notes">;
  readonly service: Service;
}

/** What a name stands for in the mesh. */
type Judged =
  | { readonly state: "ok"; readonly base: Service }
  | { readonly state: "failed"; readonly cause: ReadError }
  /** Of a service that is read; or the operator leaves all its instances out. */
  | { readonly state: "alias" }
  | { readonly state: "outside" };

/**
 * Makes services and their aliases of names. A service keeps its identity while neither it nor its aliases change.
 *
 * `mayStandAlone` says whether an alias whose target is not listed stands as a service of its own; until then it counts as unread.
 */
export function resolver(registry: string, isAsked: Scope) {
  let finished: ReadonlyMap<string, Finished> = new Map();

  return function resolve(known: readonly Known[], mayStandAlone: Scope): Resolution {
    const links = linksOf(known, isAsked);
    const isUnread = (target: Name) => isAsked(target) && !links.byId.has(idOf(target));
    const reads: { readonly key: ServiceKey; readonly read: ServiceRead }[] = [];
    const next = new Map<string, Finished>();
    const skipped: SkippedService[] = [];
    for (const one of known) {
      const id = idOf(one.name);
      const judged = judge(one, links, (target) => isUnread(target) && !mayStandAlone(one.name));
      if (judged.state === "outside") skipped.push({ name: id, kind: "filter", why: OUTSIDE });
      if (judged.state === "outside" || judged.state === "alias") continue;
      const key = serviceKey(registry, one.name.namespace, one.name.name);
      if (judged.state === "failed") {
        reads.push({ key, read: { state: "failed", key, cause: judged.cause } });
        continue;
      }
      if (judged.base.podsOnly === true) skipped.push({ name: id, kind: "kubernetes", why: PODS_ONLY });
      const done = finish(id, judged.base, links, finished.get(id));
      next.set(id, done);
      reads.push({ key, read: { state: "ok", service: done.service } });
    }
    finished = next;
    reads.sort((a, b) => (a.key < b.key ? -1 : 1));
    return { reads: reads.map(({ read }) => read), skipped, dangling: links.dangling };
  };
}

const OUTSIDE = "the registry's option instances leaves all its instances out";
const PODS_ONLY = "all its instances are pods, which a bridge registered";

function judge({ name, content, failure }: Known, { alone }: Links, isUnread: Scope): Judged {
  const id = idOf(name);
  if (failure !== undefined) return { state: "failed", cause: failure };
  if (content === undefined)
    return { state: "failed", cause: new ReadError("answer", `${id} is listed and was not read yet`) };
  const { target, service } = content;
  if (target !== undefined && !alone.has(id)) return { state: "alias" };
  if (service === undefined) return { state: "outside" };
  if (target !== undefined && isUnread(target))
    return {
      state: "failed",
      cause: new ReadError("answer", `${id} leads to ${idOf(target)}, which is not listed`),
    };
  return { state: "ok", base: service };
}

/** Add to a service its aliases and what there is to say of them; as `before` where that is the same. */
function finish(id: string, base: Service, links: Links, before: Finished | undefined): Finished {
  const why = links.alone.get(id);
  const fault = sidFault(base, links.sids);
  const more = [
    ...(why === undefined ? [] : [why]),
    ...(fault === undefined ? [] : [`it is not a valid name: ${fault}`]),
  ];
  const own = [...(links.aliases.get(id) ?? [])];
  const added = {
    ...(own.length === 0 ? {} : { aliases: own.sort(byName) }),
    ...(fault === undefined ? {} : { aliasesOnly: true as const }),
    notes: fewNotes([...base.notes, ...more, ...(links.notes.get(id) ?? []).toSorted()]),
  };
  if (before?.base === base && isDeepStrictEqual(before.added, added)) return before;
  const isBare = own.length === 0 && fault === undefined && added.notes.length === base.notes.length;
  return { base, added, service: isBare ? base : { ...base, ...added } };
}

function byName(a: Name, b: Name): number {
  const [one, other] = [idOf(a), idOf(b)];
  return one < other ? -1 : one > other ? 1 : 0;
}
