import { ISTIO_VIP_RANGES, vipRanges } from "../../istio/ranges.ts";
import { reverseZones } from "../../istio/reverse-zones.ts";
import type { Fact } from "../../model/cluster-facts.ts";
import type { Finding } from "../finding.ts";
import type { InstallationFacts } from "../installation.ts";
import type { DoctorSettings } from "../settings.ts";
import { counted, shellWord, someOf } from "../text.ts";
import { isWithin } from "./corefile.ts";
import { isFine, type Places } from "./places.ts";
import { appendBlock, laterBlock, type Repair, redirectBlock } from "./repair.ts";
import { type DnsServer, type Route, routeOf } from "./servers.ts";

const check = "dns";
/** Where there is no address to send anything to yet. */
const INSTALL = "kubectl apply -k deploy/kustomize/example, then run this again";

/** Each of our zones must be sent to us, and names of VIPs should be. */
export function zoneFindings(server: DnsServer, places: Places, settings: DoctorSettings): readonly Finding[] {
  const routes = settings.dns.zones.map(({ name }) => ({ name, route: routeOf(name, server) }));
  const wrong = routes.filter(({ route }) => !isFine(route, server, places));
  const where = `ConfigMap ${server.namespace}/${server.configMap}`;
  if (wrong.length === 0) {
    const zones = someOf(routes.map(({ name }) => name));
    return [
      { check, state: "fine", message: `${zones} ${routes.length === 1 ? "is" : "are"} sent to X2Istio by ${where}` },
      ...reverseFindings(server, places, settings),
    ];
  }
  const { address } = places;
  const missing = wrong.filter(({ route }) => !route.isOwnBlock).map(({ name }) => name);
  const reverse = missingReverse(server, places, settings);
  const isUnsure = ({ to }: Route) => to.length > 0 && to.every(places.mayBeUs);
  const misrouted = wrong.filter(({ route }) => route.isOwnBlock && !isUnsure(route));
  const unsure = wrong.filter(({ route }) => route.isOwnBlock && isUnsure(route));
  return [
    ...unsure.map(
      ({ name, route }): Finding => ({
        check,
        state: "unchecked",
        message: `could not be checked: ${name} is sent to ${route.to.join(" ")} by ${where}, and nothing in the cluster tells whether that is X2Istio`,
      }),
    ),
    ...(missing.length === 0
      ? []
      : [
          {
            check,
            state: "problem",
            message: `${missing.join(" and ")} ${missing.length === 1 ? "is" : "are"} not sent to X2Istio, so that hosts and aliases have no address: ${where} has no block for ${missing.length === 1 ? "it" : "them"}`,
            ...(address === undefined
              ? laterBlock(server, [...missing, ...reverse], INSTALL)
              : appendBlock(server, [...missing, ...reverse], address)),
          } as const,
        ]),
    ...[...Map.groupBy(misrouted, ({ route }) => route.to.join(" "))].map(([to, zones]): Finding => {
      const names = zones.map(({ name }) => name);
      const sameWay = reverse.filter((name) => routeOf(name, server).to.join(" ") === to);
      return {
        check,
        state: "problem",
        message: `${names.join(" and ")} ${names.length === 1 ? "is" : "are"} sent ${to === "" ? "nowhere" : `to ${to}, which is not X2Istio`} by ${where}`,
        ...(address === undefined ? { fix: INSTALL } : redirectBlock(server, [...names, ...sameWay], to, address)),
      };
    }),
    // Whatever the fixes above do not change as well is told now, and not when they have been made.
    ...(missing.length + unsure.length > 0
      ? []
      : reverseFindings(server, places, settings, fixedWith(misrouted, reverse, server))),
  ];
}

/** Zones of VIPs' own names (PTR) that are not sent to us. */
function missingReverse(server: DnsServer, places: Places, settings: DoctorSettings): readonly string[] {
  const { vips } = settings;
  const ofIstio = (vips.families ?? ["v4"]).map((family) => ISTIO_VIP_RANGES[family]);
  const zones = (vips.mode === "istio" ? ofIstio : vipRanges(settings)).flatMap(reverseZones);
  return zones.filter((name) => !isFine(routeOf(name, server), server, places));
}

/** Zones of VIPs' names that go the same wrong way as others, and are sent elsewhere together with them. */
function fixedWith(
  misrouted: readonly { readonly route: Route }[],
  reverse: readonly string[],
  server: DnsServer,
): ReadonlySet<string> {
  const ways = new Set(misrouted.map(({ route }) => route.to.join(" ")));
  return new Set(reverse.filter((name) => ways.has(routeOf(name, server).to.join(" "))));
}

/** Where hosts have addresses, addresses should have hosts. */
function reverseFindings(
  server: DnsServer,
  places: Places,
  settings: DoctorSettings,
  told: ReadonlySet<string> = new Set(),
): readonly Finding[] {
  const missing = missingReverse(server, places, settings).filter((name) => !told.has(name));
  if (missing.length === 0) return [];
  const { address } = places;
  const message = `${someOf(missing)} ${missing.length === 1 ? "is" : "are"} not sent to X2Istio by ConfigMap ${server.namespace}/${server.configMap}, so that VIPs have no names`;
  const repair = address === undefined ? laterBlock(server, missing, INSTALL) : reverseFix(server, missing, address);
  return [{ check, state: "warning", message, ...repair }];
}

function reverseFix(server: DnsServer, missing: readonly string[], address: string): Repair {
  const [first = ""] = missing;
  const hasBlock = server.blocks.some(({ zones }) => zones.some(({ name }) => missing.includes(name)));
  const from = routeOf(first, server).to.join(" ");
  return hasBlock ? redirectBlock(server, missing, from, address) : appendBlock(server, missing, address);
}

/** Names that are outside the zones, or below one that is sent elsewhere. */
export function nameFindings(
  server: DnsServer,
  places: Places,
  { dns: { zones }, file }: DoctorSettings,
  installation: Fact<InstallationFacts>,
): readonly Finding[] {
  if (!installation.known) return [];
  const fine = (name: string) => isFine(routeOf(name, server), server, places);
  const unsent = installation.value.names.filter((name) => !fine(name)).sort();
  const zonesOf = (name: string) => zones.filter((zone) => isWithin(name, zone.name));
  const outside = unsent.filter((name) => zonesOf(name).length === 0);
  // What all of a zone lacks is said of the zone.
  const misrouted = unsent.filter((name) => zonesOf(name).some((zone) => fine(zone.name)));
  const where = `ConfigMap ${server.namespace}/${server.configMap}`;
  return [
    ...namesFinding(
      outside,
      (are, them) => `${are} in none of dns.zones, and ${where} does not send ${them} to X2Istio`,
      `in ${file} add their zones to dns.zones, then run this again`,
    ),
    ...namesFinding(
      misrouted,
      (are) => `${are} sent elsewhere than the zone above by a block of ${where}`,
      `kubectl edit configmap -n ${shellWord(server.namespace)} ${shellWord(server.configMap)}, and remove that block`,
    ),
  ];
}

function namesFinding(
  names: readonly string[],
  why: (are: string, them: string) => string,
  fix: string,
): readonly Finding[] {
  if (names.length === 0) return [];
  const reason = names.length === 1 ? why("is", "it") : why("are", "them");
  const message = `${counted(names.length, "name")} ${reason}: ${someOf(names)}`;
  return [{ check, state: "problem", message, fix }];
}
