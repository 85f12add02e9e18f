/** Where another DNS server listens. */
export interface Upstream {
  readonly address: string;
  readonly port: number;
  /** Ask by TLS (RFC 7858). */
  readonly tls?: {
    /** The name that its certificate must have. */
    readonly name: string;
    /** Certificates in PEM to trust instead of those of the system. */
    readonly ca?: string;
  };
}
