package shop;

import java.util.List;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.cloud.client.discovery.DiscoveryClient;
import org.springframework.core.env.Environment;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.PathVariable;
import org.springframework.web.bind.annotation.RestController;

/** Says what it finds by Spring's own discovery, and what it is configured with. */
@SpringBootApplication
@RestController
public class Orders {
    private final DiscoveryClient discovery;
    private final Environment environment;

    Orders(DiscoveryClient discovery, Environment environment) {
        this.discovery = discovery;
        this.environment = environment;
    }

    @GetMapping("/settings/{name}")
    List<String> setting(@PathVariable("name") String name) {
        return List.of(environment.getProperty(name, ""));
    }

    @GetMapping("/services")
    List<String> services() {
        return discovery.getServices();
    }

    @GetMapping("/instances/{name}")
    List<String> instances(@PathVariable("name") String name) {
        return discovery.getInstances(name).stream().map(instance -> instance.getUri().toString()).sorted().toList();
    }

    public static void main(String[] arguments) {
        SpringApplication.run(Orders.class, arguments);
    }
}
