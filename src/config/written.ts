import type { AliasRule, RegistryTraits, Settings } from "../model/settings.ts";
import type { Config, DnsConfig, RegistryConfig, VipConfig } from "./config.ts";

/**
 * The sections as the schema gives them: paths still start at the file's folder, and what another section says is left out
 * where the file leaves it out.
 */
export interface WrittenSections extends Omit<Config, "file" | "dir" | "registries" | "aliases" | "vips" | "dns"> {
  readonly aliases: readonly (Omit<AliasRule, "in"> & Partial<AliasRule>)[];
  readonly vips: Settings["vips"] & Partial<VipConfig>;
  readonly dns: Omit<DnsConfig, "zones"> & Partial<DnsConfig>;
}

/** A registry as the schema gives it: its options are for the adapter's own schema to read. */
export type WrittenRegistry = Omit<RegistryConfig, "options">;

/** The sections that could be read. */
export type SectionsRead = { readonly [Name in keyof WrittenSections]?: WrittenSections[Name] | undefined };

/** A registry as far as it could be read. */
export interface RegistryRead {
  /** Its place in the list. */
  readonly index: number;
  /** As written, also when the rest is wrong. */
  readonly name: string | undefined;
  readonly fields: WrittenRegistry | undefined;
  /** As the adapter's own schema gives them. */
  readonly options: unknown;
  /** Of its kind. */
  readonly traits?: RegistryTraits | undefined;
}
