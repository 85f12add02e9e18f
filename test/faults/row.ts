/** What a fault befalls. */
export type FaultTarget =
  | "static"
  | "Consul"
  | "Eureka"
  | "Nacos"
  | "Polaris"
  | "ZooKeeper"
  | "API server"
  | "DNS upstream"
  | "own process";

/** A row of the fault table in deploy/docs/reliability.md. */
export interface FaultRow {
  readonly target: FaultTarget;
  /** `its file is deleted` */
  readonly fault: string;
  /** What X2Istio does about it. */
  readonly expect: string;
  /** An issue of a peer that lost services by it: `slime #389`. Several are separated by commas. */
  readonly peer?: string;
}

/**
 * The name of a test that is a row of the fault table. `npm run docs:faults` reads the rows from the sources: they are literals of
 * strings in double quotes.
 *
 * @param detail tells tests apart that are one row
 */
export function faultRow({ target, fault, expect }: FaultRow, detail?: string): string {
  return `${target}: ${fault}: ${expect}${detail === undefined ? "" : ` (${detail})`}`;
}
