import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { parseAddress } from "../../istio/address.ts";
import { canonical, familyOf } from "../../istio/addresses.ts";
import { isInDomains } from "../../istio/domains.ts";
import type { NameRow, NameTable } from "../../model/name-table.ts";
import { addParents } from "../../plan/names/name-table.ts";

const address = z.string().transform((text, context) => {
  const found = canonical(text);
  if (found !== undefined) return found;
  context.addIssue({ code: "custom", message: "must be an address" });
  return z.NEVER;
});
const place = z.string().transform((text, context) => {
  const parsed = parseAddress(text);
  if (parsed.address !== undefined) return parsed.address;
  context.addIssue({ code: "custom", message: parsed.must });
  return z.NEVER;
});
const port = z.int().min(0).max(65_535);
const name = z.string().max(1024);
const row = z.object({
  name,
  host: name,
  a: z.array(address.refine((text) => familyOf(text) === "v4")),
  aaaa: z.array(address.refine((text) => familyOf(text) === "v6")),
  ports: z.array(z.object({ name, number: port, transport: z.enum(["tcp", "udp"]) })).exactOptional(),
  endpoints: z
    .array(
      z.object({
        address: place,
        ports: z.record(z.string(), port).exactOptional(),
        region: z.string().exactOptional(),
        zone: z.string().exactOptional(),
      }),
    )
    .exactOptional(),
  service: z.string().exactOptional(),
  cname: name.exactOptional(),
  waits: z.literal(true).exactOptional(),
  settledAtMs: z.number(),
});
const Answer = z.object({
  serial: z.int().min(0),
  hasEndpoints: z.boolean(),
  isPartial: z.literal(true).exactOptional(),
  names: z.array(row),
});

/** What another x2istio says of its names. */
export interface RemoteAnswer {
  readonly json: string;
  /** By its clock. */
  readonly date: string | undefined;
}

/** A table of what may be taken, and what may not. */
export interface RemoteTable {
  readonly table: NameTable;
  /** Names outside of what this server takes from others. */
  readonly leftOut: readonly string[];
}

/**
 * The names that are within `suffixes`. Rows that are as before keep their identity. Times are by the other side's clock, which tells
 * itself in `date`.
 *
 * @throws {Error} When it is no state of names: nothing of it is taken.
 */
export function readTable(
  { json, date }: RemoteAnswer,
  suffixes: ReadonlySet<string>,
  before: NameTable | undefined,
): RemoteTable {
  const answer = Answer.parse(JSON.parse(json));
  const aheadMs = Date.now() - (Date.parse(date ?? "") || Date.now());
  const names = new Map<string, NameRow>();
  const leftOut: string[] = [];
  for (const given of answer.names) {
    if (!isInDomains(suffixes, given.name)) {
      leftOut.push(given.name);
      continue;
    }
    const settledAtMs = given.settledAtMs === 0 ? 0 : given.settledAtMs + aheadMs;
    const known = before?.names.get(given.name);
    const isSame = known !== undefined && isDeepStrictEqual({ ...known, settledAtMs: 0 }, { ...given, settledAtMs: 0 });
    names.set(given.name, isSame ? known : { ...given, settledAtMs });
  }
  const parents = new Set<string>();
  for (const name of names.keys()) addParents(name, parents, names);
  const { hasEndpoints, isPartial } = answer;
  const serial = Math.max(answer.serial, (before?.serial ?? -1) + 1);
  return { table: { names, parents, hasEndpoints, serial, ...(isPartial && { isPartial }) }, leftOut };
}
