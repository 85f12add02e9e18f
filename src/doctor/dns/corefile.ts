import { rangeOf } from "../../istio/ranges.ts";
import { reverseZones } from "../../istio/reverse-zones.ts";

/** One plugin of a server block, or a setting within a plugin. */
export interface Directive {
  readonly name: string;
  readonly args: readonly string[];
  /** Settings between its braces. */
  readonly body: readonly Directive[];
}

/** A server block: the zones it answers, and its plugins in the order of the text. */
export interface ServerBlock {
  readonly zones: readonly { readonly name: string; readonly port: number }[];
  readonly plugins: readonly Directive[];
}

const DEFAULT_PORT = 53;
const MAX_DEPTH = 8;
/** Imports of imports. */
const MAX_IMPORTS = 4;

/**
 * Read a Corefile.
 *
 * Snippets, `(name) {…}`, are filled in where they are imported, and so are `parts`: file contents by path's last part, in which
 * `import custom/*.server` finds them by its pattern. An import of neither is left out.
 *
 * @throws When braces do not match.
 * @see coredns/caddy caddyfile/parse.go
 */
export function parseCorefile(text: string, parts: ReadonlyMap<string, string> = new Map()): readonly ServerBlock[] {
  const found = parseDirectives(tokenLines(text));
  const snippets = new Map(
    found.flatMap(({ name, body }) => (/^\(.+\)$/.test(name) ? [[name.slice(1, -1), body]] : [])),
  );
  const expand = (directives: readonly Directive[], depth: number): readonly Directive[] =>
    directives.flatMap((one) => {
      const [target = ""] = one.args;
      if (one.name !== "import" || depth >= MAX_IMPORTS) return [one];
      const inside = snippets.get(target) ?? imported(target, parts);
      return expand(inside, depth + 1);
    });
  return expand(found, 0)
    .filter(({ name }) => !name.startsWith("("))
    .map(({ name, args, body }) => ({ zones: [name, ...args].flatMap(zonesOf), plugins: expand(body, 0) }));
}

function imported(pattern: string, parts: ReadonlyMap<string, string>): readonly Directive[] {
  const last = pattern.slice(pattern.lastIndexOf("/") + 1);
  const match = new RegExp(`^${last.replace(/[.+^${}()|[\]\\]/g, "\\$&").replaceAll("*", ".*")}$`);
  return [...parts].filter(([name]) => match.test(name)).flatMap(([, text]) => parseDirectives(tokenLines(text)));
}

/** `dns://mesh.internal.:53,` → its zone and port. A range of addresses stands for its reverse zones. */
function zonesOf(key: string): ServerBlock["zones"] {
  const plain = key.replace(/,$/, "").replace(/^[a-z0-9]+:\/\//, "");
  const [, text = "", number] = /^(.*?)(?::(\d+))?$/.exec(plain) ?? [];
  const port = number === undefined ? DEFAULT_PORT : Number(number);
  const names = isRange(text) ? reverseZones(text) : [text.toLowerCase().replace(/\.$/, "")];
  return names.map((name) => ({ name, port }));
}

function isRange(text: string): boolean {
  return text.includes("/") && rangeOf(text) !== undefined;
}

/** Words line by line, without comments; quotes hold words together. */
function tokenLines(text: string): readonly (readonly string[])[] {
  // A comma at the end of a line goes on with the keys of the same block.
  const lines = text.replace(/,[ \t]*\n\s*/g, ", ").split("\n");
  return lines.flatMap((line) => {
    const words = [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(#.*)|(\S+)/g)];
    const kept = words.flatMap(([, quoted, comment, plain]) => (comment === undefined ? [quoted ?? plain ?? ""] : []));
    return kept.length > 0 ? [kept] : [];
  });
}

function parseDirectives(lines: readonly (readonly string[])[]): readonly Directive[] {
  let at = 0;
  const found = block(0);
  if (at < lines.length) throw new Error("Cannot read the Corefile: a brace closes what was not opened");
  return found;

  function block(depth: number): readonly Directive[] {
    const directives: Directive[] = [];
    for (; at < lines.length; at++) {
      const words = lines[at] ?? [];
      if (words[0] === "}") return directives;
      const opens = words.at(-1) === "{";
      const [name = "", ...args] = opens ? words.slice(0, -1) : words;
      if (opens) at++;
      if (opens && depth > MAX_DEPTH) throw new Error("Cannot read the Corefile: braces are nested too deep");
      const body = opens ? block(depth + 1) : [];
      if (opens && lines[at]?.[0] !== "}") throw new Error(`Cannot read the Corefile: "${name}" has no closing brace`);
      directives.push({ name, args, body });
    }
    return directives;
  }
}

/** Where a server block sends a question. */
export interface Forward {
  /** `10.96.0.53`, `10.96.0.53:53`, `tls://10.96.0.53`, `/etc/resolv.conf` */
  readonly to: readonly string[];
}

/** The block that answers a name: of those on `port`, that with the longest zone. */
export function blockOf(name: string, blocks: readonly ServerBlock[], port: number): ServerBlock | undefined {
  let best: ServerBlock | undefined;
  let length = -1;
  for (const block of blocks)
    for (const zone of block.zones)
      if (zone.port === port && zone.name.length > length && isWithin(name, zone.name)) {
        best = block;
        length = zone.name.length;
      }
  return best;
}

/** Where a block sends questions for a name; `undefined` when it forwards none. The first `forward` that covers it counts. */
export function forwardOf(name: string, { plugins }: ServerBlock): Forward | undefined {
  const found = plugins.find(
    ({ name: plugin, args: [from = ""] }) =>
      plugin === "forward" && isWithin(name, from.toLowerCase().replace(/\.$/, "")),
  );
  return found === undefined ? undefined : { to: found.args.slice(1) };
}

/** Whether a name is a zone's own or lies below it; the root, which is empty, has them all. */
export function isWithin(name: string, zone: string): boolean {
  return zone === "" || name === zone || name.endsWith(`.${zone}`);
}
