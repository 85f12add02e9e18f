import type { Blocker, MigrationRules } from "../../model/claim.ts";
import { DEMAND_ANNOTATION, readDemand } from "../../model/demand.ts";
import { EMPTY_SINCE_ANNOTATION, GONE_SINCE_ANNOTATION } from "../../model/objects.ts";
import type { ServiceKey } from "../../model/service.ts";
import type { CatalogService } from "../catalog/catalog.ts";
import type { StandingEntry } from "../standing.ts";

interface Candidate {
  readonly key: ServiceKey;
  readonly service: CatalogService;
  readonly entry: StandingEntry;
}

/**
 * Why a service that is inside cannot be retired yet: its registry still has something of it, or somebody asked for it lately.
 *
 * @param unread why it could not be read in this pass
 */
export function retireBlockers(
  { key, service, entry }: Candidate,
  unread: string | undefined,
  { rules, nowMs }: { readonly rules: Pick<MigrationRules, "retireAfterMs">; readonly nowMs: number },
): readonly Blocker[] {
  const { registry, endpoints } = service;
  const blocker = (message: string): readonly Blocker[] => [{ kind: "retire", message }];
  if (unread !== undefined) return [{ kind: "registry", message: `${key} cannot be read now: ${unread}` }];
  if (endpoints.length > 0)
    return blocker(`registry ${registry} still has ${endpoints.length} of the endpoints of ${key}: remove them there`);
  const annotations = entry.manifest.metadata.annotations ?? {};
  const emptied = Date.parse(annotations[EMPTY_SINCE_ANNOTATION] ?? annotations[GONE_SINCE_ANNOTATION] ?? "");
  // One that never had an endpoint has had none since it stands.
  const emptyMs = Number.isNaN(emptied) ? (entry.createdMs ?? nowMs) : emptied;
  const demand = readDemand(annotations[DEMAND_ANNOTATION]);
  const after = (ms: number) => new Date(ms + rules.retireAfterMs).toISOString().slice(0, 16).replace("T", " ");
  return [
    ...(emptyMs + rules.retireAfterMs <= nowMs
      ? []
      : blocker(
          `registry ${registry} has had nothing of ${key} for too short a time: wait until ${after(emptyMs)} UTC`,
        )),
    ...(demand === undefined || demand.lastMs + rules.retireAfterMs <= nowMs
      ? []
      : blocker(
          `${demand.callers.slice(0, 3).join(", ") || "someone"} asked for ${key} lately: move these callers, or wait until ${after(demand.lastMs)} UTC`,
        )),
  ];
}
