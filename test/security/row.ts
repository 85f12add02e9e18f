/** Who can reach X2Istio without being its operator. */
export type Stranger =
  | "registry tenant"
  | "registry server"
  | "cluster tenant"
  | "DNS client"
  | "HTTP client"
  | "local user"
  | "network"
  | "stolen service account";

/** A row of the threat table in deploy/docs/security.md. */
export interface SecurityRow {
  readonly who: Stranger;
  /** What they do: `gives a Service every VIP as externalIPs`. */
  readonly attack: string;
  /** What comes of it, and so what stops them: `no VIP moves, and it is held with one Event`. */
  readonly outcome: string;
}

/**
 * The name of a test that is a row of the threat table. `npm run docs:security` reads the rows from the sources: they are literals of
 * strings in double quotes.
 *
 * @param detail tells tests apart that are one row
 */
export function securityRow({ who, attack, outcome }: SecurityRow, detail?: string): string {
  return `a ${who} ${attack}: ${outcome}${detail === undefined ? "" : ` (${detail})`}`;
}
