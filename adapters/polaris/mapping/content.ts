import { isDeepStrictEqual } from "node:util";
import type { Service } from "../../../src/model/service.ts";
import type { Intern } from "../../intern.ts";
import type { Name, Reply } from "../client/reply.ts";
import type { MappingOptions } from "./instance.ts";
import { toService } from "./service.ts";

/** What a name stands for. */
export interface Content {
  /** Under the name that was asked for, also where it is an alias; `undefined` when the operator leaves all instances out. */
  readonly service: Service | undefined;
  /** Set when the name is an alias: the service that it leads to. */
  readonly target: Name | undefined;
  /** Whether the answer had any instance. */
  readonly isEmpty: boolean;
}

/** How answers are read. */
export interface ContentOptions extends MappingOptions {
  readonly registry: string;
}

/**
 * What an answer about `name` says; `before` again when it says the same. Lists that are equal to those of `like`, the service
 * that an alias leads to, are kept once.
 */
export function contentOf(
  name: Name,
  reply: Reply,
  options: ContentOptions,
  pool: Intern,
  { before, like }: { readonly before: Content | undefined; readonly like: (target: Name) => Service | undefined },
): Content {
  const { registry, ...mapping } = options;
  const source = `service ${name.namespace}/${name.name}`;
  const target = targetOf(name, reply.aliasFor, pool);
  const service = toService({ registry, ...name, source }, reply.instances, mapping, pool, reply.ports);
  const content: Content = { service, target, isEmpty: reply.instances.length === 0 };
  if (before !== undefined && isDeepStrictEqual(before, content)) return before;
  const twin = before?.service ?? (target === undefined ? undefined : like(target));
  return { ...content, service: service === undefined || twin === undefined ? service : shared(service, twin) };
}

function targetOf(name: Name, aliasFor: Name | undefined, pool: Intern): Name | undefined {
  if (aliasFor === undefined || (aliasFor.namespace === name.namespace && aliasFor.name === name.name))
    return undefined;
  return { namespace: pool.text(aliasFor.namespace), name: pool.text(aliasFor.name) };
}

function shared(service: Service, twin: Service): Service {
  const same = <List>(list: List, other: List) => (isDeepStrictEqual(list, other) ? other : list);
  return {
    ...service,
    ports: same(service.ports, twin.ports),
    endpoints: same(service.endpoints, twin.endpoints),
    leftOut: same(service.leftOut, twin.leftOut),
    notes: same(service.notes, twin.notes),
  };
}
