import { isBelow, isHostName } from "../../istio/host-names.ts";
import { lowerCase } from "../../istio/lower-case.ts";
import { specialNameFault } from "../../istio/special-names.ts";
import { objectKey } from "../../model/objects.ts";
import type { AliasRule } from "../../model/settings.ts";
import type { CatalogService } from "../catalog/catalog.ts";
import { globMatches } from "../glob.ts";
import {
  carryFault,
  derivedFault,
  dnsFault,
  endpointFault,
  fill,
  hostFault,
  hostFromTemplate,
  imitationFault,
  legacyName,
  legacySid,
  type Named,
  singleLabelFault,
  templateFault,
  valueFault,
  writtenFormFault,
  writtenName,
  writtenNameFault,
  writtenNote,
} from "./dns-names.ts";
import type { AliasName, LegacyName, WishedName, Wishes } from "./naming.ts";

const MOST_NOTES = 20;

/** How services are named. */
export interface NamingOptions {
  readonly template: string;
  readonly clusterDomain: string;
  /** Templates by registry. */
  readonly legacyNames: ReadonlyMap<string, readonly string[]>;
  /** Registries whose names may have dots in legacy names. */
  readonly dots?: ReadonlySet<string>;
  /** Registries whose legacy names may be of one label. */
  readonly singleLabels?: ReadonlySet<string>;
  readonly aliases: readonly AliasRule[];
  /** Registries that compare names without case: so do the rules for their services. */
  readonly caseless?: ReadonlySet<string>;
  /** When names move that move in this pass. */
  readonly nowMs: number;
}

/** What a service would be called if nobody else wanted the same. */
export function wishesOf(service: CatalogService, options: NamingOptions): Wishes {
  const host = hostFromTemplate(service, options.template);
  const templates = options.legacyNames.get(service.registry) ?? [];
  const legacyNames = new Map<string, WishedName>();
  const { registry } = service;
  const known = service.aliasesOnly === true ? [] : [service];
  const isSingleAllowed = options.singleLabels?.has(registry) === true;
  const put = (raw: string, name: string, moreFault?: string, more?: Pick<WishedName, "refusal">) => {
    const dnsOnly = carryFault(name);
    const fault = moreFault ?? dnsFault(name) ?? derivedFault(name) ?? circleFault(name, service);
    if (!legacyNames.has(name))
      legacyNames.set(name, { raw, name, fault, ...more, ...(dnsOnly === undefined ? {} : { dnsOnly }) });
  };
  for (const raw of service.legacyNames)
    put(raw, writtenName(raw), writtenFormFault(raw), refusal(writtenNameFault(writtenName(raw), isSingleAllowed)));
  const others = (service.aliases ?? []).filter(({ asked }) => asked !== true);
  for (const { namespace, name } of [...known, ...others])
    for (const template of templates) {
      const raw = fill(template, { registry, namespace, name: legacySid(name) });
      const made = legacyName(raw);
      const fault = valueFault(template, { registry, namespace, name }, { dots: options.dots?.has(registry) === true });
      const further = endpointFault(made) ?? templateFault(made, template, options.clusterDomain);
      // Most services of a template for L5 sids have other names: that is nothing to decide on.
      const single = singleLabelFault(made, isSingleAllowed || specialNameFault(made) !== undefined);
      put(raw, made, fault ?? further ?? single, refusal(writtenNameFault(made, true)));
    }
  const aliases = new Map<string, AliasName>();
  for (const rule of options.aliases) {
    const name = lowerCase(fill(rule.as, service));
    if (rule.registry === registry && isRuleFor(rule, service, options.caseless?.has(registry) === true))
      aliases.set(`${rule.in}/${name}`, { namespace: rule.in, name });
  }
  return {
    host,
    hostFault: hostFault(host),
    imitation: imitationFault(service, options.template),
    legacyNames: [...legacyNames.values()],
    aliases: [...aliases.values()],
    aliasKeys: [...aliases.values()].map(({ namespace, name }) => objectKey("Service", namespace, name)),
    notes: [
      ...droppedNotes([...legacyNames.values()]),
      ...service.legacyNames.flatMap((raw) => writtenNote(raw) ?? []),
    ],
  };
}

/** An endpoint's own host name is left to whoever answers it: with our VIP there, the callers' proxies would call the VIP for ever. */
function circleFault(name: string, { endpoints }: CatalogService): string | undefined {
  const isLed = endpoints.some(({ address }) =>
    name.startsWith("*.") ? isHostName(address) && isBelow(address, name.slice(2)) : address === `${name}.`,
  );
  return isLed ? "an endpoint of the service has it as its address" : undefined;
}

function refusal(why: string | undefined): Pick<WishedName, "refusal"> | undefined {
  return why === undefined ? undefined : { refusal: why };
}

/** A name that stands, as the wishes have it. */
export function unreadName(name: string): LegacyName & { readonly fault?: string } {
  const dnsOnly = carryFault(name);
  return dnsOnly === undefined ? { name } : { name, dnsOnly };
}

function droppedNotes(names: Wishes["legacyNames"]): readonly string[] {
  const dropped = names.filter(({ fault }) => fault !== undefined);
  const notes = dropped
    .slice(0, MOST_NOTES)
    .map(({ raw, fault }) => `legacy name ${JSON.stringify(raw)} was dropped: ${fault}`);
  const more = dropped.length - notes.length;
  return more === 0 ? notes : [...notes, `${more} further legacy names were dropped`];
}

/** Whether a rule is for a service of its registry. @param isCaseless whether the registry compares names without case */
export function isRuleFor(
  { namespace, service, exclude }: Pick<AliasRule, "namespace" | "service" | "exclude">,
  one: Pick<Named, "namespace" | "name">,
  isCaseless: boolean,
): boolean {
  const spelled = isCaseless ? lowerCase : (text: string) => text;
  const name = spelled(one.name);
  return (
    globMatches(namespace, one.namespace) &&
    globMatches(spelled(service), name) &&
    exclude?.some((glob) => globMatches(spelled(glob), name)) !== true
  );
}
