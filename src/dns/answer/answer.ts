import type { NameRow } from "../../model/name-table.ts";
import type { Upstream } from "../forward/upstream.ts";
import { CLASS_IN, RCODE, TYPE } from "../wire/codes.ts";
import type { Question } from "../wire/query.ts";
import type { ResourceRecord } from "../wire/records.ts";
import type { Reply } from "../wire/reply.ts";
import type { AnswerContext } from "./context.ts";
import { isAnsweredHere } from "./own-types.ts";
import { type AnyRow, consulSrvOf, findRow } from "./rows.ts";
import { type AnswerTable, isNameAbove } from "./table.ts";
import { denyingZone, soaOwner, zoneOf } from "./zones.ts";

/** TTL of "there is no such name" and "no such type" (RFC 2308 §5): a service created on demand must not stay denied for long. */
const NEGATIVE_TTL_SECONDS = 5;
/** Longest chain of CNAMEs that is followed. */
const MAX_CNAMES = 8;

/** What all SOA records share: RNAME as in RFC 6303 §3; refresh, retry and expire concern secondaries, of which there are none. */
export const SOA_TIMES = {
  ttlSeconds: NEGATIVE_TTL_SECONDS,
  mailbox: "nobody.invalid",
  refreshSeconds: 3600,
  retrySeconds: 1200,
  expireSeconds: 604_800,
  minimumSeconds: NEGATIVE_TTL_SECONDS,
} as const;

/**
 * What becomes of a question: an answer, a question to someone else, a chain of CNAMEs whose last target someone else knows, or the same
 * question again later.
 */
export type Answer = ({ readonly kind: "reply" } & Reply) | ({ readonly kind: "chain" } & Chain) | Elsewhere | Held;

/** The question is asked of others. */
export interface Elsewhere {
  readonly kind: "forward";
  readonly to: readonly Upstream[];
  /** The name has addresses here, so it exists whatever they say, and is no alias of another name. */
  readonly isKnown?: true;
}

/** The same question again at `untilMs` (epoch). */
export interface Held {
  readonly kind: "held";
  readonly untilMs: number;
  /** The service that must be reported as wanted before there is an answer. */
  readonly wants?: string;
}

/** CNAMEs of ours that lead to a name of others. */
export interface Chain {
  readonly answers: readonly ResourceRecord[];
  readonly target: string;
  readonly to: readonly Upstream[];
}

/**
 * Answer one question. Pure: wire knows messages, serve knows sockets.
 *
 * Addresses of known names are answered whatever their zone; their other types are asked where the zone is, if it is someone else's and there is
 * anyone to ask. An unknown name belongs to the zone that matches most of its labels: in one of
 * ours it is denied, with NODATA if names exist below it (RFC 8020 §2) and NXDOMAIN otherwise; in an overlay that zone's servers are
 * asked; outside of all zones `forward` is asked, or the answer is REFUSED. A denial carries the zone's SOA (RFC 2308 §2).
 *
 * Classes other than IN and zone transfers are REFUSED; types that can only be meta-data are FORMERR or NOTIMP (RFC 6895 §3.1).
 * An address that the mesh may not have yet is `held`.
 *
 * Besides rows there are names made of them: `_port._tcp.` before a name with ports (SRV, RFC 2782), `_name._tcp.rest` for `name.rest`,
 * as Consul has it, the reverse names of hosts' VIPs (PTR, RFC 1035 §3.5, RFC 3596 §2.5), and what a row `*.rest` stands for (RFC 4592).
 */
export function answer(question: Question, table: AnswerTable, context: AnswerContext): Answer {
  const refusal = refuse(question);
  if (refusal !== undefined) return bare(refusal);
  const zone = zoneOf(question.name, context.byName);
  const isOurs = zone !== undefined && zone.forward.length === 0;
  const row = findRow(question.name, table, context);
  if (isOurs) return resolve(question, row, table, context);
  const to = zone?.forward ?? context.forward;
  if (row === undefined) return askOthers(to);
  if (to.length > 0 && !isAnsweredHere(row, question)) return { kind: "forward", to, isKnown: true };
  return resolve(question, row, table, context);
}

function refuse({ type, class: qclass }: Question): number | undefined {
  if (qclass !== CLASS_IN || type === TYPE.AXFR || type === TYPE.IXFR) return RCODE.REFUSED;
  if (type === TYPE.OPT || type === TYPE.TSIG || type === TYPE.TKEY || type === 0) return RCODE.FORMERR;
  return type === TYPE.MAILA || type === TYPE.MAILB ? RCODE.NOTIMP : undefined;
}

function askOthers(upstreams: readonly Upstream[]): Answer {
  return upstreams.length > 0 ? { kind: "forward", to: upstreams } : bare(RCODE.REFUSED);
}

/** Follow CNAMEs as far as the table goes (RFC 1034 §3.6.2), then answer for the last name, whose code the answer has (RFC 6604 §3). */
function resolve(
  { name: asked, type }: Question,
  first: AnyRow | undefined,
  table: AnswerTable,
  context: AnswerContext,
): Answer {
  const chain: ResourceRecord[] = [];
  let name = asked;
  let row = first;
  while (row?.cname !== undefined && type !== TYPE.CNAME && type !== TYPE.ANY && !isApexData(name, type, context)) {
    // A loop is a fault of the data; no other answer would be right.
    if (chain.length === MAX_CNAMES) return bare(RCODE.SERVFAIL);
    chain.push({ name, type: "CNAME", ttlSeconds: context.ttlSeconds, target: row.cname });
    name = row.cname.toLowerCase();
    row = findRow(name, table, context);
    const isTheirs = row === undefined || !isAnsweredHere(row, { name, type });
    if (isTheirs && denyingZone(name, context) === undefined) return leadOut(chain, name, type, context);
  }
  if (row?.waits === true && WAITING_TYPES.has(type)) return wanted(row, context);
  const heldUntilMs = row === undefined ? 0 : unsettledUntilMs(row, type, context.nowMs);
  if (heldUntilMs > 0) return { kind: "held", untilMs: heldUntilMs };
  const records = recordsOf(name, row, type, table, context);
  if (records.length > 0) return reply(RCODE.NOERROR, [...chain, ...records]);
  return deny(name, row, chain, table, context);
}

/** What a service has once it stands; of all else it has nothing, before and after. */
const WAITING_TYPES: ReadonlySet<number> = new Set([TYPE.A, TYPE.AAAA, TYPE.SRV, TYPE.TXT, TYPE.ANY]);
/** How soon a name that someone asked for may be there. */
const WANTED_AGAIN_MS = 20;

function wanted({ service }: NameRow, { nowMs }: AnswerContext): Answer {
  return { kind: "held", untilMs: nowMs + WANTED_AGAIN_MS, ...(service === undefined ? {} : { wants: service }) };
}

/** Stub resolvers do not follow CNAMEs, so addresses are asked for on their behalf. */
function leadOut(answers: readonly ResourceRecord[], target: string, type: number, context: AnswerContext): Answer {
  const to = zoneOf(target, context.byName)?.forward ?? context.forward;
  const isFollowed = to.length > 0 && (type === TYPE.A || type === TYPE.AAAA);
  return isFollowed ? { kind: "chain", answers, target, to } : reply(RCODE.NOERROR, answers);
}

function recordsOf(
  name: string,
  row: AnyRow | undefined,
  type: number,
  table: AnswerTable,
  context: AnswerContext,
): readonly ResourceRecord[] {
  const { ttlSeconds } = context;
  const isApex = denyingZone(name, context) === name;
  switch (type) {
    case TYPE.A:
      return row?.a.map((address) => ({ name, type: "A", ttlSeconds, address })) ?? [];
    case TYPE.AAAA:
      return row?.aaaa.map((address) => ({ name, type: "AAAA", ttlSeconds, address })) ?? [];
    case TYPE.CNAME:
      return cnameOf(name, row, ttlSeconds);
    case TYPE.SRV:
      return (row?.srv ?? consulSrvOf(name, row, context)).map((place) => ({
        ...{ name, type: "SRV" as const, ttlSeconds, priority: 0, weight: 100 },
        ...place,
      }));
    case TYPE.PTR:
      return row?.ptr === undefined ? [] : [{ name, type: "PTR", ttlSeconds, target: row.ptr }];
    case TYPE.TXT:
      if (context.tellsServices !== true || row?.service === undefined) return [];
      return [{ name, type: "TXT", ttlSeconds, texts: characterStrings(`service=${row.service}`) }];
    case TYPE.SOA:
      return soaOwner(name, context) === name ? [soa(name, table)] : [];
    case TYPE.NS:
      // The zone names itself, as RFC 6303 §3 has it: no name of ours needs to be invented, and none can clash with a service's.
      return isApex ? [{ name, type: "NS", ttlSeconds, target: name }] : [];
    case TYPE.ANY:
      return any(name, row, table, context);
    default:
      return [];
  }
}

/** A text as TXT carries it: in strings of at most 255 octets (RFC 1035 §3.3), which readers join. */
function characterStrings(text: string): readonly string[] {
  const strings = [""];
  for (const character of text) {
    const last = `${strings.at(-1)}${character}`;
    if (Buffer.byteLength(last) > 255) strings.push(character);
    else strings[strings.length - 1] = last;
  }
  return strings;
}

function cnameOf(name: string, row: NameRow | undefined, ttlSeconds: number): readonly ResourceRecord[] {
  return row?.cname === undefined ? [] : [{ name, type: "CNAME", ttlSeconds, target: row.cname }];
}

/** Of what a name may have, what is most often meant first. */
const ANY_ORDER = [TYPE.CNAME, TYPE.A, TYPE.AAAA, TYPE.SRV, TYPE.PTR, TYPE.SOA];

/** ANY gets one RRset (RFC 8482 §4.1): JNDI asks so for addresses, and can use no other answer. */
function any(
  name: string,
  row: AnyRow | undefined,
  table: AnswerTable,
  context: AnswerContext,
): readonly ResourceRecord[] {
  const sets = ANY_ORDER.map((type) => recordsOf(name, row, type, table, context));
  return sets.find(({ length }) => length > 0) ?? [];
}

/** NXDOMAIN denies every type of a name and all names below it (RFC 2308 §2.1, RFC 8020 §2); a name with rows or a zone below it gets NODATA. */
function deny(
  name: string,
  row: NameRow | undefined,
  chain: readonly ResourceRecord[],
  table: AnswerTable,
  context: AnswerContext,
): Answer {
  const exists = row !== undefined || isNameAbove(name, table, context);
  if (!exists && table.isPartial === true) return bare(RCODE.SERVFAIL);
  return reply(exists ? RCODE.NOERROR : RCODE.NXDOMAIN, chain, [soa(soaOwner(name, context), table)]);
}

function soa(zone: string, table: AnswerTable): ResourceRecord {
  return { name: zone, type: "SOA", primary: zone, serial: table.serial % 2 ** 32, ...SOA_TIMES };
}

/** Until when an answer would give out an address too early; 0 if it would not. */
function unsettledUntilMs(row: NameRow, type: number, nowMs: number): number {
  const gives = (of: number, { length }: readonly string[]) => (type === of || type === TYPE.ANY) && length > 0;
  const givesAddress = gives(TYPE.A, row.a) || gives(TYPE.AAAA, row.aaaa);
  return givesAddress && row.settledAtMs > nowMs ? row.settledAtMs : 0;
}

function isApexData(name: string, type: number, context: AnswerContext): boolean {
  return (type === TYPE.SOA || type === TYPE.NS) && denyingZone(name, context) === name;
}

function reply(rcode: number, answers: readonly ResourceRecord[], authority: readonly ResourceRecord[] = []): Answer {
  return { kind: "reply", rcode, authoritative: true, answers, authority };
}

function bare(rcode: number): Answer {
  return { kind: "reply", rcode, authoritative: false, answers: [], authority: [] };
}
