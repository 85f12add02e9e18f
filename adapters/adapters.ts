import { type ConsulOptions, consulOptions } from "./consul/options.ts";
import type { AdapterKind } from "./context.ts";
import { type EurekaOptions, eurekaOptions } from "./eureka/options.ts";
import { moduleAdapter } from "./module/module.ts";
import { type ModuleOptions, moduleOptions } from "./module/options.ts";
import { DEFAULT_WEIGHT as NACOS_WEIGHT } from "./nacos/mapping.ts";
import { type NacosOptions, nacosOptions } from "./nacos/options.ts";
import { DEFAULT_WEIGHT } from "./polaris/mapping/instance.ts";
import { type PolarisOptions, polarisOptions } from "./polaris/options.ts";
import { type StaticOptions, staticOptions } from "./static/options.ts";
import { staticFiles } from "./static/static.ts";
import { DEFAULT_WEIGHT as DUBBO_WEIGHT } from "./zookeeper/mapping/provider.ts";
import { type ZooKeeperOptions, zooKeeperOptions } from "./zookeeper/options.ts";

const consulAgent: AdapterKind<ConsulOptions> = {
  options: consulOptions,
  create: async (options, context) => (await import("./consul/consul.ts")).consul(options, context),
  traits: { caseless: true },
};
const eurekaServer: AdapterKind<EurekaOptions> = {
  options: eurekaOptions,
  create: async (options, context) => (await import("./eureka/eureka.ts")).eureka(options, context),
  traits: { caseless: true },
};
const files: AdapterKind<StaticOptions> = { options: staticOptions, create: staticFiles };
const module: AdapterKind<ModuleOptions> = { options: moduleOptions, create: moduleAdapter };
const nacosServer: AdapterKind<NacosOptions> = {
  options: nacosOptions,
  create: async (options, context) => (await import("./nacos/nacos.ts")).nacos(options, context),
  traits: { defaultWeight: NACOS_WEIGHT },
};
const polarisServer: AdapterKind<PolarisOptions> = {
  options: polarisOptions,
  create: async (options, context) => (await import("./polaris/polaris.ts")).polaris(options, context),
  traits: { defaultWeight: DEFAULT_WEIGHT },
};

const zooKeeperServer: AdapterKind<ZooKeeperOptions> = {
  options: zooKeeperOptions,
  create: async (options, context) => (await import("./zookeeper/zookeeper.ts")).zookeeper(options, context),
  traits: { defaultWeight: DUBBO_WEIGHT },
};

/** Every kind of registry, by the `kind` of the configuration. The only registration. The code of a kind is loaded with its first registry. */
export const adapters: Readonly<Record<string, AdapterKind>> = {
  consul: consulAgent,
  eureka: eurekaServer,
  module,
  nacos: nacosServer,
  polaris: polarisServer,
  static: files,
  zookeeper: zooKeeperServer,
};
