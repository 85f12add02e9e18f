import type { Hold } from "../../model/plan.ts";
import type { ServiceKey } from "../../model/service.ts";

/** A service, or one of its names, that is held. */
export function serviceHold(
  service: ServiceKey,
  registry: string,
  reason: Hold["reason"],
  message: string,
  subject: string = service,
): Hold {
  return { reason, subject, service, registry, message };
}
