/**
 * The package's public face, `import … from "x2istio"`: what an adapter of one's own is written against, and the pure pipeline from
 * what registries said to the changes of mesh objects.
 *
 * An adapter needs nearly only types, which Node removes when it loads a module, and so no package at run time; the two values
 * are conveniences: an Error with a field `failure` counts as a ReadError, and a key is text.
 *
 * @see deploy/examples/module-adapter, adapters/module/README.md and deploy/docs/library.md
 */
export type {
  AdapterModule,
  ModuleContext,
  ModuleLog,
  ReadJson,
  StandardIssue,
  StandardResult,
  StandardSchema,
} from "../adapters/contract.ts";
export { ReadError, type ReadFailure } from "./errors.ts";
export type { Adapter, ReadOptions, ServiceRead, SkipKind, Snapshot } from "./model/adapter.ts";
export type { Manifest, ObjectKey, OwnedObject } from "./model/objects.ts";
export type { Change, Hold, PolicedPlan } from "./model/plan.ts";
export {
  type Endpoint,
  type LeftOut,
  type LeftOutKind,
  type Service,
  type ServiceAlias,
  type ServiceKey,
  type ServicePort,
  serviceKey,
} from "./model/service.ts";
export type { Settings } from "./model/settings.ts";
export type { Standing, StandingObject } from "./model/standing.ts";
export type { Reading } from "./plan/catalog/catalog.ts";
export { decide } from "./plan/decide.ts";
export type { Decision, DecisionInput } from "./plan/decision.ts";
export { type PlanMemory, planMemory } from "./plan/memory.ts";
export { decidePartly, type PartialDecision } from "./plan/partial.ts";
