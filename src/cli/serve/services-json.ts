import { NAMES_ANNOTATION } from "../../model/objects.ts";
import type { Service } from "../../model/service.ts";
import type { Decision } from "../../plan/decision.ts";
import { readNames } from "../../plan/names/names-annotation.ts";

/** Every service that is known or stands, as data with stable fields: what `/api/services` answers. */
export function servicesJson(decision: Decision | undefined): object {
  if (decision === undefined) return { services: [] };
  const { catalog, undemanded, beyond, naming, standing, plan, ledger } = decision;
  const listed = [...catalog.services.keys(), ...undemanded.keys(), ...beyond.keys()];
  const keys = [...new Set([...listed, ...catalog.failed.keys(), ...standing.entries.keys()])].sort();
  const held = plan.hold.flatMap((hold) => (hold.services ?? [hold.service]).map((service) => ({ service, hold })));
  const holds = Map.groupBy(held, ({ service }) => service);
  return {
    services: keys.map((key) => {
      const entry = standing.entries.get(key)?.manifest;
      const names = naming.services.get(key);
      const host = names?.host ?? entry?.spec.hosts[0];
      const read = catalog.services.get(key) ?? undemanded.get(key) ?? beyond.get(key);
      return {
        service: key,
        host: host ?? null,
        vips:
          (host === undefined ? undefined : ledger?.vips.get(host)) ??
          entry?.spec.addresses ??
          standing.entries.get(key)?.statusAddresses ??
          [],
        ports: (entry?.spec.ports ?? []).map(({ name, number, protocol }) => ({ name, number, protocol })),
        endpoints: entry?.spec.endpoints?.length ?? 0,
        leftOut: read === undefined ? [] : leftOut(read),
        legacyNames:
          names?.legacyNames.map(({ name }) => name) ?? readNames(entry?.metadata.annotations?.[NAMES_ANNOTATION]),
        aliases: (standing.byService.get(key) ?? [])
          .filter(({ manifest }) => manifest.kind === "Service")
          .map(({ manifest }) => `${manifest.metadata.namespace}/${manifest.metadata.name}`),
        premade: (standing.premadeOf.get(key) ?? []).map(
          ({ manifest }) => `${manifest.metadata.namespace}/${manifest.metadata.name}`,
        ),
        source: read?.source ?? null,
        demanded: !undemanded.has(key),
        held: (holds.get(key) ?? []).map(({ hold: { reason, message } }) => ({ reason, message })),
      };
    }),
  };
}

function leftOut({ leftOut: endpoints }: Service): object[] {
  return endpoints.map(({ address, kind, reason }) => ({ address, kind, reason }));
}
