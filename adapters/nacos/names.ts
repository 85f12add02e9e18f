import type { ServiceAlias } from "../../src/model/service.ts";

/** The group of services for which nobody chose one. */
export const DEFAULT_GROUP = "DEFAULT_GROUP";
const SPLITTER = "@@";

/** A service within a namespace. */
export interface NacosName {
  readonly group: string;
  readonly name: string;
}

/** What a service is called in the mesh: with its group, if that is not the default. */
export function meshName({ group, name }: NacosName): string {
  return group === DEFAULT_GROUP ? name : `${group}${SPLITTER}${name}`;
}

/** The way back. */
export function nacosName(text: string): NacosName {
  const cut = text.indexOf(SPLITTER);
  return cut < 0
    ? { group: DEFAULT_GROUP, name: text }
    : { group: text.slice(0, cut), name: text.slice(cut + SPLITTER.length) };
}

/** Whether a name is what a server can list: the splitter parts group and name. */
export function isNacosName({ group, name }: NacosName): boolean {
  return group !== "" && name !== "" && !name.includes(SPLITTER) && !group.includes(SPLITTER);
}

/** A name by which Dubbo registers one interface: `providers:<interface>:<version>:<group>`, of which old ones leave empty ends out. */
export interface DubboName {
  /** `providers`, `consumers`, `configurators` or `routers`. */
  readonly category: string;
  readonly interfaceName: string;
}

/** What Dubbo's name says; `undefined` where it is none. */
export function dubboName(name: string): DubboName | undefined {
  const [, category = "", interfaceName = ""] =
    /^(providers|consumers|configurators|routers):([\w$]+(?:\.[\w$]+)*)(?::[^:]*){0,2}$/.exec(name) ?? [];
  return category === "" ? undefined : { category, interfaceName };
}

/**
 * Other names that callers have for a service.
 *
 * @param isOnlyGroup whether its group is the only one that is read, so that a name alone says which service it is
 */
export function aliasesOf(
  namespace: string,
  { group, name }: NacosName,
  isOnlyGroup: boolean,
): readonly ServiceAlias[] {
  const written: ServiceAlias[] =
    group === DEFAULT_GROUP ? [{ namespace, name: `${DEFAULT_GROUP}${SPLITTER}${name}`, asked: true }] : [];
  const short: ServiceAlias[] = group !== DEFAULT_GROUP && isOnlyGroup ? [{ namespace, name }] : [];
  const dubbo = dubboName(name);
  return [...written, ...short, ...(dubbo === undefined ? [] : [{ namespace, name: dubbo.interfaceName }])];
}
