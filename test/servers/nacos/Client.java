import com.alibaba.nacos.api.naming.NamingFactory;
import com.alibaba.nacos.api.naming.pojo.Instance;
import java.util.Properties;

/** Nacos' own client of Java: registers one instance, with a metadata of Spring Cloud's, and keeps it. usage: Client ADDRESS SERVICE IP PORT */
public class Client {
  public static void main(String[] args) throws Exception {
    var properties = new Properties();
    properties.setProperty("serverAddr", args[0]);
    var naming = NamingFactory.createNamingService(properties);
    var instance = new Instance();
    instance.setIp(args[2]);
    instance.setPort(Integer.parseInt(args[3]));
    instance.addMetadata("preserved.register.source", "SPRING_CLOUD");
    naming.registerInstance(args[1], instance);
    Thread.currentThread().join();
  }
}
