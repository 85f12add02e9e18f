import type { ServiceKey } from "./service.ts";

/** A service that callers of a gateway are to reach: HTTP by host and path, or TCP by a port of the gateway. */
export interface ExposureRule {
  /** Of the route that is written. */
  readonly name: string;
  readonly service: ServiceKey;
  /** Of the service; if left out, the only one that will do. */
  readonly port?: number;
  /** Whose Gateway it is: Istio's own, or the Gateway API's. */
  readonly api: "istio" | "gateway";
  readonly gateway: { readonly namespace: string; readonly name: string };
  /** The gateway's port; for HTTP all of them if left out. */
  readonly listen?: number;
  /** None for TCP. */
  readonly hosts: readonly string[];
  /** This path and all below it. */
  readonly path: string;
}
