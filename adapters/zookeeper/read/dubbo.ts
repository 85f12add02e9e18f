import { ReadError } from "../../../src/errors.ts";
import { shorten } from "../../text.ts";
import type { Part } from "../catalog/parts.ts";
import type { Node, Tree } from "../client/tree.ts";
import { type Judged, judge, type MappingOptions } from "../mapping/candidate.ts";
import { configuratorsOf } from "../mapping/configurators.ts";
import { providerOf } from "../mapping/provider.ts";
import { type DubboUrl, dubboKey, interfaceOfNode, param, parseDubboUrl } from "../mapping/url.ts";
import type { Layout } from "./layout.ts";

/** What Dubbo keeps beside interfaces. */
const OWN: ReadonlySet<string> = new Set(["config", "metadata", "mapping"]);
const MOST_PROVIDERS = 50_000;

/** The tree of Dubbo 2, and of Dubbo 3 that registers by interface. */
export function dubboLayout(root: string, by: "interface" | "application", options: MappingOptions): Layout {
  return {
    root,
    isService: (node) => !OWN.has(node),
    concerns: ([first]) => first === undefined || first === "providers" || first === "configurators",
    async read(tree, node, before, isWatched) {
      const path = `${root}/${node}`;
      const [providers, configurators] = await both(tree, path, isWatched);
      const digest = `${digestOf(providers)} ${digestOf(configurators)}`;
      if (before?.state === "ok" && before.digest === digest) return before;
      return partOf(interfaceOfNode(node), namesOf(providers), namesOf(configurators), by, options, digest);
    },
  };
}

function both(tree: Tree, path: string, isWatched: boolean) {
  // A watch on a node that is not there yet can only be had on its parent.
  return Promise.all([
    tree.children(`${path}/providers`, isWatched),
    tree.children(`${path}/configurators`, isWatched),
    ...(isWatched ? [tree.children(path, true)] : []),
  ]);
}

function digestOf(node: Node<unknown> | undefined): string {
  return node?.state === "ok" ? node.digest : "";
}

function namesOf(node: Node<readonly string[]> | undefined): readonly string[] {
  return node?.state === "ok" ? node.value : [];
}

/** What the nodes below an interface offer. One that cannot be understood makes the whole failed: nobody can say of whom it is. */
function partOf(
  name: string,
  providers: readonly string[],
  configurators: readonly string[],
  by: "interface" | "application",
  options: MappingOptions,
  digest: string,
): Part {
  if (providers.length > MOST_PROVIDERS)
    return failed(`has ${providers.length} providers, ${MOST_PROVIDERS} are allowed`);
  const notes = new Set<string>();
  const [urls, rules] = [parsedUrls(providers, notes), parsedUrls(configurators, notes)];
  if (typeof urls === "string") return failed(urls);
  if (typeof rules === "string") return failed(rules);
  const configured = configuratorsOf(rules, notes);
  const offers = new Map<string, Judged[]>();
  for (const url of urls) {
    const provider = providerOf(url, name, configured);
    if (provider === undefined) continue;
    const service = by === "interface" ? dubboKey(name, url) : param(url, "application");
    if (service === undefined) {
      notes.add("providers that state no application are left out");
      continue;
    }
    const own = offers.get(service) ?? [];
    own.push(judge(provider, options));
    offers.set(service, own);
  }
  return { state: "ok", digest, offers, registrations: urls.length, notes: [...notes] };
}

function parsedUrls(names: readonly string[], notes: Set<string>): readonly DubboUrl[] | string {
  const urls: DubboUrl[] = [];
  for (const name of names) {
    const url = parseDubboUrl(name);
    if (url === "ignored") notes.add(`node ${shorten(name, 60)} is no URL, and is passed over as Dubbo does`);
    else if ("fault" in url) return `node ${shorten(name)} ${url.fault}`;
    else urls.push(url);
  }
  return urls;
}

function failed(why: string): Part {
  return { state: "failed", cause: new ReadError("answer", why) };
}
