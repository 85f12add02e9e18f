/** What is written in the name of a node of Dubbo. */
export interface DubboUrl {
  /** In lower case: `dubbo`, `tri`, `rest`, `override`. */
  readonly protocol: string;
  /** As written, without brackets. */
  readonly host: string;
  /** 0 where it has none. */
  readonly port: number;
  readonly params: Readonly<Record<string, string>>;
}

/** A URL has some dozens. */
const MOST_PARAMS = 512;

/**
 * The URL that a node's name is (dubbo-common: URL.encode, URLStrParser).
 *
 * @returns Why it is none; `ignored` for what Dubbo's own clients pass over.
 */
export function parseDubboUrl(name: string): DubboUrl | "ignored" | { readonly fault: string } {
  const text = decoded(name);
  if (text === undefined) return { fault: "is not encoded as a URL is" };
  const [, scheme, rest = ""] = /^([^:/?#]+):\/\/(.*)$/s.exec(text) ?? [];
  if (scheme === undefined) return "ignored";
  const [before = "", ...query] = rest.split("?");
  const place = before.split("/")[0]?.replace(/^.*@/s, "") ?? "";
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|(.*?))(?::(\d{1,5}))?$/s.exec(place) ?? [];
  const host = bracketed ?? plain;
  if (host === undefined || host === "") return { fault: "has no address" };
  return { protocol: scheme.toLowerCase(), host, port: Number(digits ?? 0), params: paramsOf(query.join("?")) };
}

/** As Java does: a plus is a space, octets are UTF-8. */
function decoded(name: string): string | undefined {
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}

function paramsOf(query: string): Readonly<Record<string, string>> {
  const parts = query.split("&", MOST_PARAMS).filter((part) => part !== "");
  return Object.fromEntries(
    parts.map((part) => {
      const [, key = part, value = part] = /^([^=]*)=(.*)$/s.exec(part) ?? [];
      return [key.trim(), value.trim()];
    }),
  );
}

/** A parameter that is there and not empty. */
export function param({ params }: Pick<DubboUrl, "params">, key: string): string | undefined {
  const value = Object.hasOwn(params, key) ? params[key] : undefined;
  return value === "" ? undefined : value;
}

/** By what a consumer calls a service: `group/interface:version`, as Dubbo has it (BaseServiceMetadata.buildServiceKey). */
export function dubboKey(interfaceName: string, url: Pick<DubboUrl, "params">): string {
  const [group, version] = [param(url, "group"), param(url, "version")];
  return `${group === undefined ? "" : `${group}/`}${interfaceName}${version === undefined || version === "0.0.0" ? "" : `:${version}`}`;
}

/** The interface whose node this is: Dubbo encodes it, as `Outer$Inner` has a sign that it would not take as it is. */
export function interfaceOfNode(node: string): string {
  return decoded(node) ?? node;
}

/** The node of the interface of a {@link dubboKey}. */
export function nodeOfKey(key: string): string {
  return encodeURIComponent(interfaceOf(key));
}

/** The interface of a {@link dubboKey}. */
export function interfaceOf(key: string): string {
  return key.replace(/^.*\//s, "").replace(/:.*$/s, "");
}
