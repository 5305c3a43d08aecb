//! `plexus.parent`: a master by its hardware address, or by what EC2's metadata service calls it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use plexus_cni::Code;
use serde_json::{Value, json};

use crate::link_rig::support::kernel::{ip_json, link};
use crate::link_rig::support::{Node, failed, macvlan, succeeded, with};
use crate::link_rig::traffic::answers;

/// Where the interfaces of an instance are.
const MACS: &str = "/latest/meta-data/network/interfaces/macs/";

/// A metadata service on the host's loopback, which notes what it was asked.
#[derive(Clone, Default)]
struct Service {
    /// Hardware address, device index and ENI.
    interfaces: Arc<Mutex<Vec<(String, u32, String)>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Listens in this thread's namespace, and gives its address.
    fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let service = self.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let service = service.clone();
                std::thread::spawn(move || service.serve(&stream.unwrap()));
            }
        });
        format!("http://{address}")
    }

    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut head = Vec::new();
            for line in reader.by_ref().lines() {
                match line.unwrap() {
                    line if line.is_empty() => break,
                    line => head.push(line),
                }
            }
            let Some(request) = head.first().cloned() else { return };
            let has_token =
                head.iter().any(|line| line.eq_ignore_ascii_case("x-aws-ec2-metadata-token: secret"));
            let (status, body) = self.answer(&request, has_token);
            self.asked.lock().unwrap().push(request);
            let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            stream.write_all(text.as_bytes()).unwrap();
        }
    }

    fn answer(&self, request: &str, has_token: bool) -> (&'static str, String) {
        let interfaces = self.interfaces.lock().unwrap();
        let path = request.split(' ').nth(1).unwrap();
        match path.strip_prefix(MACS) {
            _ if request.starts_with("PUT /latest/api/token") => ("200 OK", "secret".into()),
            _ if !has_token => ("401 Unauthorized", String::new()),
            Some("") => ("200 OK", interfaces.iter().flat_map(|(mac, ..)| [&**mac, "/\n"]).collect()),
            Some(rest) => {
                let (mac, key) = rest.split_once('/').unwrap();
                let (_, index, eni) = interfaces.iter().find(|one| one.0 == mac).unwrap();
                ("200 OK", if key == "device-number" { index.to_string() } else { eni.clone() })
            }
            None => ("404 Not Found", String::new()),
        }
    }
}

/// macvlan with this parent instead of a master.
fn on(parent: Value) -> Value {
    let mut config = with(macvlan(), "plexus", json!({"parent": parent}));
    config.as_object_mut().unwrap().remove("master");
    config
}

fn mac_of(node: &Node, ifname: &str) -> String {
    link(node.host.netns(), ifname).unwrap()["address"].as_str().unwrap().to_owned()
}

/// Attaches, and compares the parent's index with that of uplink1.
fn is_on_uplink1(node: &Node, config: &Value) {
    let pod = node.pod("a");
    let result = succeeded(&node.add(&pod, "net1", config));
    let shown = &ip_json(&pod.netns, &["-d", "link", "show", "dev", "net1"])[0];
    assert_eq!(shown["link_index"], link(node.host.netns(), "uplink1").unwrap()["ifindex"], "{shown}");
    assert!(answers(&pod.netns, "10.1.0.254".parse().unwrap()));
    succeeded(&node.check(&pod, "net1", config, &result));
    succeeded(&node.del(&pod, "net1", config));
    pod.netns.remove().unwrap();
}

#[test]
fn a_master_is_found_by_its_hardware_address() {
    let Some(node) = Node::start() else { return };
    node.outside.ip(&["addr", "add", "10.1.0.254/24", "dev", "eth1"]).unwrap();
    is_on_uplink1(&node, &on(json!({"mac": mac_of(&node, "uplink1")})));
    let pod = node.pod("b");
    for (config, named) in [
        (
            on(json!({"mac": "02:00:00:00:00:99"})),
            "no link of the host has hardware address 02:00:00:00:00:99",
        ),
        (on(json!({"pci": "0000:ff:1f.7"})), "0000:ff:1f.7 has no link"),
        (with(on(json!({"deviceIndex": 1})), "master", json!("uplink1")), "beside \"master\""),
        (with(on(json!({"deviceIndex": 1})), "linkInContainer", json!(true)), "beside \"linkInContainer\""),
        (on(json!({"deviceIndex": 1, "eni": "eni-1"})), "plexus.parent"),
    ] {
        let said = failed(&node.add(&pod, "net1", &config), Code::InvalidConfig);
        assert!(said.contains(named), "{said}");
    }
    node.assert_clean(&[&pod]);
}

#[test]
fn a_master_is_found_by_eni_and_device_index_and_the_service_is_asked_once() {
    let service = Service::default();
    let listening = service.clone();
    let started = Node::start_with(move |setup| {
        setup.arguments.extend(["--instance-metadata".into(), listening.listen()]);
    });
    let Some(node) = started else { return };
    node.outside.ip(&["addr", "add", "10.1.0.254/24", "dev", "eth1"]).unwrap();
    *service.interfaces.lock().unwrap() =
        vec![(mac_of(&node, "uplink0"), 0, "eni-0a".into()), (mac_of(&node, "uplink1"), 2, "eni-0b".into())];
    let pod = node.pod("b");
    succeeded(&node.add(&pod, "net1", &macvlan()));
    assert_eq!(service.asked.lock().unwrap().len(), 0, "nobody named an ENI");
    is_on_uplink1(&node, &on(json!({"eni": "eni-0b"})));
    is_on_uplink1(&node, &on(json!({"deviceIndex": 2})));
    assert_eq!(service.asked.lock().unwrap().len(), 6, "token, list, two words on each of two interfaces");
    let said = failed(&node.add(&pod, "net2", &on(json!({"eni": "eni-0c"}))), Code::InvalidConfig);
    assert!(said.contains("eni-0c is not attached"), "{said}");
    let said = failed(&node.add(&pod, "net2", &on(json!({"deviceIndex": 3}))), Code::InvalidConfig);
    assert!(said.contains("device index 3"), "{said}");
    succeeded(&node.del(&pod, "net1", &macvlan()));
    node.assert_clean(&[&pod]);
}

#[test]
fn a_service_that_is_not_there_is_named() {
    let arguments = ["--instance-metadata".to_owned(), "http://127.0.0.1:1".to_owned()];
    let Some(node) = Node::start_with(|setup| setup.arguments.extend(arguments)) else { return };
    let pod = node.pod("a");
    let said = failed(&node.add(&pod, "net1", &on(json!({"deviceIndex": 1}))), Code::TryAgain);
    assert!(said.contains("http://127.0.0.1:1") && said.contains("--instance-metadata"), "{said}");
    node.assert_clean(&[&pod]);
}
