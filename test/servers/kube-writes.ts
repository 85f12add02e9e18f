/** What the audit log holds of one stage of a write, `RequestReceived` or `ResponseComplete`. */
export interface AuditEvent {
  readonly auditID: string;
  readonly stage: string;
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string; readonly groups?: readonly string[] };
  readonly userAgent?: string;
  readonly objectRef?: {
    readonly resource: string;
    readonly subresource?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly apiGroup?: string;
    readonly apiVersion?: string;
  };
  readonly responseStatus?: { readonly code: number; readonly reason?: string; readonly message?: string };
  readonly requestReceivedTimestamp: string;
  readonly stageTimestamp: string;
}

/** The events in the text of an audit log; the last line counts once it is complete. */
export function parseAuditLog(text: string): AuditEvent[] {
  const lines = text.slice(0, text.lastIndexOf("\n") + 1).split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as AuditEvent);
}

const mutating = new Set(["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"]);

/**
 * Requests that meant to write, counted from apiserver_request_total by "VERB resource.group", as in
 * "APPLY serviceentries.networking.istio.io", "POST services" and "PUT services/status".
 *
 * Dry runs do not count. An answer of any status does, so that a refused write is not overlooked, but
 * not what authorization turned away, as that is never metered.
 */
export function countWrites(metrics: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const [, labelText = "", value] of metrics.matchAll(/^apiserver_request_total\{(.*)\} (\S+)$/gm)) {
    const labels = Object.fromEntries(
      Array.from(labelText.matchAll(/(\w+)="([^"]*)"/g), ([, name, text]) => [name, text]),
    );
    const { verb = "", resource = "", group = "", subresource = "", dry_run = "" } = labels;
    if (!mutating.has(verb) || dry_run !== "") continue;
    const key = `${verb} ${resource}${group && `.${group}`}${subresource && `/${subresource}`}`;
    counts[key] = (counts[key] ?? 0) + Number(value);
  }
  return counts;
}

/** What was added to `before` to get `after`; keys that did not change are left out. */
export function addedWrites(
  before: Readonly<Record<string, number>>,
  after: Readonly<Record<string, number>>,
): Record<string, number> {
  const added = Object.entries(after).map(([key, count]) => [key, count - (before[key] ?? 0)] as const);
  return Object.fromEntries(added.filter(([, count]) => count !== 0));
}
