/** A port by which a name's service is reached at its VIP. */
export interface NamePort {
  /** Lower case. */
  readonly name: string;
  readonly number: number;
  readonly transport: "tcp" | "udp";
}

/** A place where a name's service can be reached without the mesh. */
export interface NameEndpoint {
  /** Canonical text, or a host name that ends in a dot. */
  readonly address: string;
  /** By the port's name, lower case, where it is another than the service's. */
  readonly ports?: Readonly<Record<string, number>>;
  readonly region?: string;
  readonly zone?: string;
}

/** One DNS name that is answered. */
export interface NameRow {
  /** Lower case, no trailing dot. */
  readonly name: string;
  /** Canonical host of the service the name leads to (equal to `name` for the host itself). */
  readonly host: string;
  /** IPv4 VIPs, canonical text. */
  readonly a: readonly string[];
  /** IPv6 VIPs, canonical text. */
  readonly aaaa: readonly string[];
  /** Ports of the service, for SRV records. */
  readonly ports?: readonly NamePort[];
  /** Healthy endpoints, where some clients are given them. */
  readonly endpoints?: readonly NameEndpoint[];
  /** `<registry>/<namespace>/<service>`, for TXT records. */
  readonly service?: string;
  /** Set instead of addresses when the name is an alias of another name. */
  readonly cname?: string;
  /** Set on a name of a service that is known and that nobody has asked for: it has addresses soon after someone does. */
  readonly waits?: true;
  /** Set while its entry is being deleted; as a number, until when it is answered though that is gone: it may be made anew. */
  readonly ends?: true | number;
  /** Milliseconds since the epoch (Date.now) before which the mesh may not have the VIP yet; 0 when it has. */
  readonly settledAtMs: number;
}

/** A name of a service that stands only on demand. */
export interface WaitingName {
  /** Lower case, no trailing dot. */
  readonly name: string;
  readonly host: string;
  readonly service: string;
}

/** What the DNS server answers from. Immutable: a change makes a new table. */
export interface NameTable {
  /** By lower-case name without trailing dot. */
  readonly names: ReadonlyMap<string, NameRow>;
  /**
   * Names that have no row but have rows below them (empty non-terminals, RFC 8020), lower case:
   * for `a.b.c` in `names` also `b.c` and `c`.
   */
  readonly parents: ReadonlySet<string>;
  /** Increases with every change; the SOA serial (RFC 1035 §3.3.13). */
  readonly serial: number;
  /** Milliseconds since the epoch at which it is to be made anew: names lead where they led before, until the mesh has their new VIPs. */
  readonly renewAtMs?: number;
  /** Set while what a registry has is not known, or not written, for the first time: a name that is not here may be one of its services. */
  readonly isPartial?: true;
  /** Whether rows have their endpoints. */
  readonly hasEndpoints?: boolean;
  /** The names whose rows differ from those of the table with serial `since`; without it, whoever needs them compares rows. */
  readonly changes?: { readonly since: number; readonly names: readonly string[] };
}
