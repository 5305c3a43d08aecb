//! One attachment's chain of plugins, native and foreign alike.

use std::cell::Cell;
use std::time::Instant;

use plexus_cni::args::CniArgs;
use plexus_cni::config::{NetworkConfigList, PluginConfig};
use plexus_cni::json::Object;
use plexus_cni::{CniError, CniResult, Code, Version};
use serde_json::{Value, json};

use super::{Request, device};
use crate::delegate::{ExecCall, is_without_effect, result_of};
use crate::fault;
use crate::plugin::{Memory, Plugin, PluginCall, Sandbox, chosen, native};
use crate::record::{Attachment, Notes, Owner, PortRecord};

/// The key under which GC gets the attachments that the runtime still knows.
const VALID_ATTACHMENTS: &str = "cni.dev/valid-attachments";

/// The chain of one attachment.
pub(super) struct Chain<'a> {
    request: &'a Request<'a>,
    container_id: &'a str,
    attachment: &'a Attachment,
    sandbox: Option<&'a Sandbox>,
    list: NetworkConfigList,
    args: CniArgs,
    is_taken_over: bool,
    is_unclean: Cell<bool>,
    memory: Memory<'a>,
}

/// What a chain's ADD made.
pub(super) struct Made {
    pub(super) result: CniResult,
    pub(super) port: Option<PortRecord>,
    pub(super) notes: Notes,
}

impl<'a> Chain<'a> {
    /// The chain as the attachment's recorded config says.
    pub(super) fn new(
        request: &'a Request<'a>,
        container_id: &'a str,
        attachment: &'a Attachment,
        sandbox: Option<&'a Sandbox>,
    ) -> Result<Self, CniError> {
        let version = Some(attachment.cni_version());
        let list =
            NetworkConfigList::from_object(attachment.config.clone(), Some(&attachment.network), version)?;
        let args = CniArgs::parse(&attachment.args)?;
        let (is_taken_over, is_unclean) = (false, Cell::new(false));
        let memory = Memory::of(request.agent, container_id, attachment);
        Ok(Self { request, container_id, attachment, sandbox, list, args, is_taken_over, is_unclean, memory })
    }

    /// The chain of an attachment that the reference plugins made: a plugin of ours acts only where it undoes all of it.
    pub(super) fn taken_over(mut self) -> Self {
        self.is_taken_over = true;
        self
    }

    /// Whether CHECK was switched off by the config (C140).
    pub(super) fn checks_nothing(&self) -> bool {
        self.list.disable_check
    }

    /// Whether a failed ADD left something that could not be undone.
    pub(super) fn is_unclean(&self) -> bool {
        self.is_unclean.get()
    }

    /// `network blue (ns/nad), interface net1`
    pub(super) fn describe(&self) -> String {
        let nad = self.attachment.nad.as_ref().map(|nad| format!(" ({nad})")).unwrap_or_default();
        format!("network {}{nad}, interface {}", self.list.name, self.attachment.ifname)
    }

    /// Refuses what cannot work, before anything is touched.
    pub(super) fn validate(&self) -> Result<(), CniError> {
        for (index, plugin) in self.list.plugins.iter().enumerate() {
            let config = self.config(plugin, None);
            let call = self.call(index, &config, None, None);
            call.check_options()?;
            if let Some(native) = self.native(plugin) {
                if native.creates_interface() && self.request.sandbox.is_some() {
                    call.require_free_ifname()?;
                }
                native.validate(&call)?;
            }
        }
        Ok(())
    }

    /// Runs the chain forward; on failure undoes it in reverse and reports every error.
    pub(super) fn add(&self, port: Option<PortRecord>) -> Result<Made, CniError> {
        device::prepare(self.request, self.attachment);
        let mut made = Made { result: CniResult::default(), port, notes: Notes::default() };
        let mut previous = self.given_result()?;
        for (index, plugin) in self.list.plugins.iter().enumerate() {
            let adding = || self.add_one(index, plugin, previous.as_ref(), made.port.as_ref());
            match self.timed("ADD", plugin, adding) {
                Ok((result, port)) => {
                    previous = Some(result);
                    made.port = port.or(made.port);
                    fault::point();
                }
                Err(error) => return Err(self.undo(error, index, previous.as_ref(), made.port.as_ref())),
            }
        }
        made.result = previous.unwrap_or_default();
        made.notes = self.memory.notes();
        Ok(made)
    }

    fn add_one(
        &self,
        index: usize,
        plugin: &PluginConfig,
        previous: Option<&CniResult>,
        port: Option<&PortRecord>,
    ) -> Result<(CniResult, Option<PortRecord>), CniError> {
        let config = self.config(plugin, previous);
        if let Some(native) = self.native(plugin) {
            let attached = native.add(&self.call(index, &config, previous, port))?;
            return Ok((attached.result, attached.port));
        }
        let printed = self.exec("ADD", plugin, &config.0)?;
        Ok((result_of(plugin.plugin_type(), &printed)?, None))
    }

    /// Undoes the plugins before `failed`, and a foreign one that failed (C058), in reverse.
    fn undo(
        &self,
        error: CniError,
        failed: usize,
        result: Option<&CniResult>,
        port: Option<&PortRecord>,
    ) -> CniError {
        let failed_foreign =
            self.list.plugins.get(failed).is_some_and(|plugin| self.native(plugin).is_none());
        let until = if failed_foreign && !is_without_effect(&error) { failed + 1 } else { failed };
        let outcome = self.del_plugins(&self.list.plugins[..until], result, port);
        match outcome {
            Ok(()) => {
                device::forget(self.request, self.attachment);
                error
            }
            Err(second) => {
                self.is_unclean.set(true);
                let details = format!("{}; undoing it failed too: {second}", error.details);
                error.because(details)
            }
        }
    }

    /// Runs the chain in reverse; every plugin is asked, all errors are reported.
    pub(super) fn del(&self, port: Option<&PortRecord>) -> Result<(), CniError> {
        let result = self.attachment.cni_result()?.or(self.given_result()?);
        self.del_plugins(&self.list.plugins, result.as_ref(), port)?;
        device::forget(self.request, self.attachment);
        Ok(())
    }

    fn del_plugins(
        &self,
        plugins: &[PluginConfig],
        result: Option<&CniResult>,
        port: Option<&PortRecord>,
    ) -> Result<(), CniError> {
        let mut first = Ok(());
        for (index, plugin) in plugins.iter().enumerate().rev() {
            let config = self.config(plugin, result);
            let outcome = self.timed("DEL", plugin, || match self.native(plugin) {
                Some(native) => {
                    let call = self.call(index, &config, result, port);
                    if native.creates_interface() {
                        call.give_back_lease();
                    }
                    native.del(&call)
                }
                None => match self.exec("DEL", plugin, &config.0) {
                    Err(error) if self.is_taken_over && error.code == Code::PluginMissing => {
                        self.del_without_binary(index, &config, result, error)
                    }
                    outcome => outcome.map(drop),
                },
            });
            if let Err(error) = outcome {
                first = Err(join(first, error));
            }
        }
        first
    }

    /// Undoes what a reference plugin made that is not installed (any more), as far as ours can: packet filter rules and
    /// queueing of its own may remain.
    fn del_without_binary(
        &self,
        index: usize,
        config: &PluginConfig,
        result: Option<&CniResult>,
        error: CniError,
    ) -> Result<(), CniError> {
        let Some(native) = native(config.plugin_type()) else { return Err(error) };
        tracing::warn!(network = self.list.name, %error, "the plugin that made this is not installed: ours removes links and leases only");
        native.del(&self.call(index, config, result, None))
    }

    /// Compares the kernel with the final result, plugin by plugin; the first difference is the answer (C129). A foreign
    /// plugin is asked only what its network's version knows, in all verbs.
    pub(super) fn check(&self, result: &CniResult, port: Option<&PortRecord>) -> Result<(), CniError> {
        for (index, plugin) in self.list.plugins.iter().enumerate() {
            let config = self.config(plugin, Some(result));
            self.timed("CHECK", plugin, || match self.native(plugin) {
                Some(native) => native.check(&self.call(index, &config, Some(result), port), result),
                None if self.list.version < Version::V0_4_0 => Ok(()),
                None => self.exec("CHECK", plugin, &config.0).map(drop),
            })?;
        }
        Ok(())
    }

    /// The port as the plugins want it that follow changes, and nothing touched; refuses what cannot work.
    pub(super) fn wanted_port(&self, port: Option<PortRecord>) -> Result<Option<PortRecord>, CniError> {
        let result = self.attachment.cni_result()?;
        let mut port = port;
        for (index, plugin) in self.list.plugins.iter().enumerate() {
            let Some(native) = self.live(plugin) else { continue };
            let config = self.config(plugin, result.as_ref());
            let call = self.call(index, &config, result.as_ref(), port.as_ref());
            call.check_options()?;
            native.validate(&call)?;
            port = port.clone().map(|port| native.wanted_port(&call, port)).transpose()?;
        }
        Ok(port)
    }

    /// Brings the running interface from what the chain `before` says to what this one says, with `port` as wanted; returns
    /// the port as it is then.
    pub(super) fn change(
        &self,
        before: &Self,
        mut port: Option<PortRecord>,
    ) -> Result<Option<PortRecord>, CniError> {
        let result = self.attachment.cni_result()?;
        for (index, (plugin, old)) in self.list.plugins.iter().zip(&before.list.plugins).enumerate() {
            let config = self.config(plugin, result.as_ref());
            let is_changed = config != before.config(old, result.as_ref());
            if let Some(native) = self.live(plugin).filter(|_| is_changed) {
                let changed = native.change(&self.call(index, &config, result.as_ref(), port.as_ref()))?;
                port = changed.or(port);
                fault::point();
            }
        }
        Ok(port)
    }

    /// The native plugin, if it follows changes of this config.
    fn live(&self, plugin: &PluginConfig) -> Option<&'static dyn Plugin> {
        self.native(plugin).filter(|native| !native.live_keys(plugin).is_empty())
    }

    /// What its plugins wrote down.
    pub(super) fn notes(&self) -> Notes {
        self.memory.notes()
    }

    /// Asks every plugin whether an ADD could be served.
    pub(super) fn status(&self) -> Result<(), CniError> {
        for (index, plugin) in self.list.plugins.iter().enumerate() {
            let config = self.config(plugin, None);
            self.timed("STATUS", plugin, || match self.native(plugin) {
                Some(native) => native.status(&self.call(index, &config, None, None)),
                None if self.list.version < Version::V1_1_0 => Ok(()),
                None => self.exec("STATUS", plugin, &config.0).map(drop),
            })?;
        }
        Ok(())
    }

    /// Lets every plugin release what is not in `valid`; all are asked, all errors are reported (C113).
    pub(super) fn gc(&self, valid: &[(String, String)]) -> Result<(), CniError> {
        if self.list.disable_gc {
            return Ok(());
        }
        let listed: Vec<Value> =
            valid.iter().map(|(id, ifname)| json!({"containerID": id, "ifname": ifname})).collect();
        let mut first = Ok(());
        for (index, plugin) in self.list.plugins.iter().enumerate() {
            let mut config = self.config(plugin, None);
            config.0.insert(VALID_ATTACHMENTS.into(), listed.clone().into());
            let outcome = self.timed("GC", plugin, || match self.native(plugin) {
                Some(native) => native.gc(&self.call(index, &config, None, None), valid),
                None if self.list.version < Version::V1_1_0 => Ok(()),
                None => self.exec("GC", plugin, &config.0).map(drop),
            });
            if let Err(error) = outcome {
                first = Err(join(first, error));
            }
        }
        first
    }

    /// Does one plugin's part and tells the metrics how long it took.
    fn timed<T>(
        &self,
        command: &'static str,
        plugin: &PluginConfig,
        work: impl FnOnce() -> Result<T, CniError>,
    ) -> Result<T, CniError> {
        let begun = Instant::now();
        let outcome = work();
        self.request.agent.requests.plugin_ended(command, plugin.plugin_type(), begun, &outcome);
        outcome
    }

    /// The native plugin, unless the config wants the binary. In a chain whose interface a foreign plugin makes, the
    /// chained plugins are foreign too: ours would have no port to act on.
    fn native(&self, plugin: &PluginConfig) -> Option<&'static dyn Plugin> {
        if matches!(self.attachment.owner, Owner::Single { .. }) {
            // The binary of that name may be our own shim: never execute it.
            return native(plugin.plugin_type());
        }
        if self.is_taken_over {
            return chosen(plugin).filter(|native| native.undoes_reference(plugin));
        }
        let interface_is_ours = || self.list.plugins.iter().filter_map(chosen).any(Plugin::creates_interface);
        chosen(plugin)
            .filter(|native| native.creates_interface() || !native.needs_port() || interface_is_ours())
    }

    /// What the plugin reads: of a single call the config as it came at ADD with the result so far, of a chain the
    /// request made from it.
    fn config(&self, plugin: &PluginConfig, previous: Option<&CniResult>) -> PluginConfig {
        let previous = previous.map(|result| result.to_value(self.list.version));
        match self.attachment.owner {
            Owner::Single { .. } => {
                let mut config = plugin.clone();
                if let Some(result) = previous {
                    config.0.insert("prevResult".into(), result);
                }
                config
            }
            Owner::Meta { .. } => {
                PluginConfig(plugin.request(&self.list, &self.attachment.runtime_config, previous.as_ref()))
            }
        }
    }

    /// The `prevResult` that a single call came with.
    fn given_result(&self) -> Result<Option<CniResult>, CniError> {
        match (&self.attachment.owner, self.attachment.config.get("prevResult")) {
            (Owner::Single { .. }, Some(value)) if !value.is_null() => {
                CniResult::from_value(value, "prevResult").map(Some)
            }
            _ => Ok(None),
        }
    }

    fn call<'b>(
        &'b self,
        position: usize,
        config: &'b PluginConfig,
        prev_result: Option<&'b CniResult>,
        port: Option<&'b PortRecord>,
    ) -> PluginCall<'b> {
        PluginCall {
            agent: self.request.agent,
            host: self.request.host,
            sandbox: self.sandbox,
            container_id: self.container_id,
            ifname: &self.attachment.ifname,
            network: &self.list.name,
            config,
            args: &self.args,
            args_text: &self.attachment.args,
            path: &self.attachment.path,
            port_id: self.attachment.port_id,
            port,
            prev_result,
            delegates: self.request.delegates,
            position,
            memory: &self.memory,
            deadline: self.request.deadline,
            is_unclean: &self.is_unclean,
        }
    }

    fn exec(&self, command: &'static str, plugin: &PluginConfig, config: &Object) -> Result<Value, CniError> {
        self.request.delegates.exec(&ExecCall {
            command,
            plugin: plugin.plugin_type(),
            container_id: self.container_id,
            netns: self.sandbox.map(|sandbox| &*sandbox.id.path),
            ifname: &self.attachment.ifname,
            args: &self.attachment.args,
            path: &self.attachment.path,
            config,
        })
    }
}

/// Two errors as one: the first one's code, both texts.
pub(super) fn join(first: Result<(), CniError>, second: CniError) -> CniError {
    match first {
        Ok(()) => second,
        Err(first) => {
            let details = if first.details.is_empty() {
                second.to_string()
            } else {
                format!("{}; {second}", first.details)
            };
            first.because(details)
        }
    }
}
