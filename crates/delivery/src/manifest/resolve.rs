//! The manifest as seen from one environment.

use windlass_kernel::{EnvironmentName, ProjectName};

use super::{Environment, Limits, Manifest, Route, ServiceSpec};

impl Manifest {
    /// The environment of this name, if the manifest declares it.
    pub fn environment(&self, name: &EnvironmentName) -> Option<&Environment> {
        self.environments.iter().find(|e| e.name == *name)
    }

    /// The services as they are to run in an environment: its overrides applied, placeholders replaced. An
    /// environment that the manifest does not declare overrides nothing; whether it may be used at all is the
    /// gate's business.
    pub fn for_environment(&self, environment: &EnvironmentName, project: &ProjectName) -> Vec<ServiceSpec> {
        let declared = self.environment(environment);
        let mut specs = Vec::new();
        for (name, service) in &self.services {
            let mut service = service.clone();
            service.route = service.route.map(|route| Route {
                host: route
                    .host
                    .replace("{environment}", environment.as_str())
                    .replace("{service}", name.as_str())
                    .replace("{project}", project.as_str()),
                path: route.path,
            });
            if let Some(overrides) = declared.and_then(|e| e.overrides.get(name)) {
                service.replicas = overrides.replicas.unwrap_or(service.replicas);
                service.strategy = overrides.strategy.unwrap_or(service.strategy);
                service.env.extend(overrides.env.clone());
                service.limits = Limits {
                    cpu_millis: overrides.limits.cpu_millis.or(service.limits.cpu_millis),
                    memory_bytes: overrides.limits.memory_bytes.or(service.limits.memory_bytes),
                    processes: overrides.limits.processes.or(service.limits.processes),
                };
            }
            specs.push(ServiceSpec { name: name.clone(), service });
        }
        specs
    }
}
