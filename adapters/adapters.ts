import { consul } from "./consul/consul.ts";
import { type ConsulOptions, consulOptions } from "./consul/options.ts";
import type { AdapterKind } from "./context.ts";
import { eureka } from "./eureka/eureka.ts";
import { type EurekaOptions, eurekaOptions } from "./eureka/options.ts";
import { moduleAdapter } from "./module/module.ts";
import { type ModuleOptions, moduleOptions } from "./module/options.ts";
import { DEFAULT_WEIGHT as NACOS_WEIGHT } from "./nacos/mapping.ts";
import { nacos } from "./nacos/nacos.ts";
import { type NacosOptions, nacosOptions } from "./nacos/options.ts";
import { DEFAULT_WEIGHT } from "./polaris/mapping/instance.ts";
import { type PolarisOptions, polarisOptions } from "./polaris/options.ts";
import { polaris } from "./polaris/polaris.ts";
import { type StaticOptions, staticOptions } from "./static/options.ts";
import { staticFiles } from "./static/static.ts";
import { DEFAULT_WEIGHT as DUBBO_WEIGHT } from "./zookeeper/mapping/provider.ts";
import { type ZooKeeperOptions, zooKeeperOptions } from "./zookeeper/options.ts";
import { zookeeper } from "./zookeeper/zookeeper.ts";

const consulAgent: AdapterKind<ConsulOptions> = { options: consulOptions, create: consul, traits: { caseless: true } };
const eurekaServer: AdapterKind<EurekaOptions> = { options: eurekaOptions, create: eureka, traits: { caseless: true } };
const files: AdapterKind<StaticOptions> = { options: staticOptions, create: staticFiles };
const module: AdapterKind<ModuleOptions> = { options: moduleOptions, create: moduleAdapter };
const nacosServer: AdapterKind<NacosOptions> = {
  options: nacosOptions,
  create: nacos,
  traits: { defaultWeight: NACOS_WEIGHT },
};
const polarisServer: AdapterKind<PolarisOptions> = {
  options: polarisOptions,
  create: polaris,
  traits: { defaultWeight: DEFAULT_WEIGHT },
};

const zooKeeperServer: AdapterKind<ZooKeeperOptions> = {
  options: zooKeeperOptions,
  create: zookeeper,
  traits: { defaultWeight: DUBBO_WEIGHT },
};

/** Every kind of registry, by the `kind` of the configuration. The only registration. */
export const adapters: Readonly<Record<string, AdapterKind>> = {
  consul: consulAgent,
  eureka: eurekaServer,
  module,
  nacos: nacosServer,
  polaris: polarisServer,
  static: files,
  zookeeper: zooKeeperServer,
};
