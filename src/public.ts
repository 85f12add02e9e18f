/**
 * The package's public face, `import … from "x2istio"`: what an adapter of one's own is written against.
 *
 * Nearly all of it is types, which Node removes when it loads a module, so that an adapter needs no package at run time. The two
 * values are conveniences: an Error with a field `failure` counts as a ReadError, and a key is text.
 *
 * @see deploy/examples/module-adapter and adapters/module/README.md
 */
export type {
  AdapterModule,
  ModuleContext,
  ModuleLog,
  StandardIssue,
  StandardResult,
  StandardSchema,
} from "../adapters/contract.ts";
export { ReadError, type ReadFailure } from "./errors.ts";
export type { Adapter, ServiceRead, SkipKind, Snapshot } from "./model/adapter.ts";
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
