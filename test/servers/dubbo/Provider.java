import org.apache.dubbo.config.ApplicationConfig;
import org.apache.dubbo.config.ProtocolConfig;
import org.apache.dubbo.config.RegistryConfig;
import org.apache.dubbo.config.ServiceConfig;
import org.apache.dubbo.config.bootstrap.DubboBootstrap;

/** A provider of Dubbo: Provider ZOOKEEPER PORT. It ends with its standard input, and takes leave of the registry then. */
public class Provider {
  public interface OrderApi {
    String find(String id);
  }

  public static void main(String[] args) throws Exception {
    ServiceConfig<OrderApi> service = new ServiceConfig<>();
    service.setInterface(OrderApi.class);
    service.setRef(id -> id);
    service.setGroup("shop");
    service.setVersion("1.0.0");
    service.setWeight(70);
    ApplicationConfig application = new ApplicationConfig("orders");
    application.setQosEnable(false);
    DubboBootstrap bootstrap = DubboBootstrap.getInstance();
    bootstrap.application(application).registry(new RegistryConfig("zookeeper://" + args[0]));
    bootstrap.protocol(new ProtocolConfig("dubbo", Integer.parseInt(args[1]))).service(service).start();
    while (System.in.read() >= 0) {}
    bootstrap.stop();
    System.exit(0);
  }
}
