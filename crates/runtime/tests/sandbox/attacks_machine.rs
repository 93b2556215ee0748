//! A job that wants power over the machine: mounts, devices, kernel settings, namespaces, capabilities.

use windlass_runtime::Exec;

use crate::world::{at, refused, sh};

at!(nothing_can_be_mounted_or_unmounted, [Namespaces], |world| {
    let sandbox = world.sandbox().await;
    for attack in [
        "mount -t tmpfs none /mnt",
        "mount --bind / /mnt",
        "umount /proc",
        "umount -l /dev",
        "mount -o remount,rw /proc/sys",
        "mount -o remount,rw /sys",
        "mount -t proc proc /mnt",
        "mount -t sysfs s /mnt",
    ] {
        refused(&sandbox, attack, "\u{0}").await;
    }
    sandbox.kill().await.unwrap();
});

at!(a_nested_namespace_does_not_lift_the_masks, [Namespaces, UserNamespaces], |world| {
    let sandbox = world.sandbox().await;
    for attack in [
        "umount /proc/sys",
        "umount -l /sys",
        "umount -l /proc",
        "mount -o remount,rw /proc/sys",
        "mount -o remount,bind,rw /sys",
        "mount -t proc proc /proc",
    ] {
        let script = format!(
            "unshare -Urmpf sh -c '{attack} && test -w /proc/sys/kernel/core_pattern && v=$(cat /proc/sys/kernel/core_pattern) && echo \"$v\" > /proc/sys/kernel/core_pattern'"
        );
        refused(&sandbox, &script, "\u{0}").await;
    }
    sandbox.kill().await.unwrap();
});

at!(the_kernels_settings_cannot_be_changed, [Namespaces, UserNamespaces], |world| {
    let before = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    let sandbox = world.sandbox().await;
    // Each gets what it has already: where the attack succeeds, the test fails, and the machine is none the worse.
    for file in [
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/vm/swappiness",
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sysrq-trigger",
        "/proc/irq/default_smp_affinity",
        "/sys/kernel/mm/ksm/pages_to_scan",
    ] {
        let write = format!("v=$(cat {file} 2>/dev/null); printf '%s' \"${{v:-h}}\" > {file}");
        refused(&sandbox, &write, "\u{0}").await;
        refused(&sandbox, &format!("chmod 777 {file} && {write}"), "\u{0}").await;
    }
    refused(&sandbox, "hostname attacked", "\u{0}").await;
    refused(&sandbox, "date -s \"$(date)\"", "\u{0}").await;
    sandbox.kill().await.unwrap();
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap(), before);
});

at!(memory_and_disks_of_the_machine_cannot_be_opened, [Namespaces, UserNamespaces], |world| {
    let sandbox = world.sandbox().await;
    refused(&sandbox, "head -c 1 /proc/kcore", "\u{7f}").await;
    refused(&sandbox, "mknod /tmp/disk b 254 0 && head -c 1 /tmp/disk", "\u{0}").await;
    refused(&sandbox, "mknod /dev/disk b 8 0", "\u{0}").await;
    refused(&sandbox, "mknod /tmp/mem c 1 1", "\u{0}").await;
    refused(&sandbox, "unshare -Urm sh -c 'mount -t tmpfs none /mnt; mknod /mnt/mem c 1 1'", "\u{0}").await;
    let devices = sh(&sandbox, "cd /dev && for f in * */*; do if test -c $f -o -b $f; then echo $f; fi; done | grep -vE '^(std|fd)' | sort | tr '\\n' ' '").await.text();
    assert_eq!(devices, "full null ptmx pts/ptmx random tty urandom zero ");
    assert!(
        sh(&sandbox, "echo x > /dev/null && head -c 4 /dev/urandom | wc -c && test -w /dev/shm")
            .await
            .exit
            .success()
    );
    assert!(sh(&sandbox, "perl -e 'open(P, \"+<\", \"/dev/ptmx\") or die $!'").await.exit.success());
    sandbox.kill().await.unwrap();
});

at!(a_new_root_leads_nowhere_else, [Namespaces, UserNamespaces], |world| {
    let file = world.file("data/secret", "LOOT-77");
    let sandbox = world.sandbox().await;
    // The classical way out of chroot: a folder kept open while the root moves below it.
    let escape = format!(
        "perl -e 'mkdir \"/tmp/j\"; opendir(D,\"/\"); chroot(\"/tmp/j\") or die; chdir(\"..\") for 1..64; chroot(\".\"); open(F,\"<\",\"{0}\") or open(F,\"<\",\".{0}\") or die; print <F>'",
        file.display()
    );
    refused(&sandbox, &escape, "LOOT-77").await;
    refused(&sandbox, "perl -e 'chdir(\"/\"); syscall(155, \".\", \".\")==0 or die'", "\u{0}").await;
    let nested = format!(
        "unshare -Urm sh -c 'cd /; mkdir -p /tmp/n; mount --rbind / /tmp/n; cd /tmp/n; pivot_root . tmp; cat {0} tmp{0} tmp/tmp{0}'",
        file.display()
    );
    refused(&sandbox, &nested, "LOOT-77").await;
    sandbox.kill().await.unwrap();
});

at!(no_capability_reaches_the_machine, [Namespaces, UserNamespaces], |world| {
    let sandbox = world.sandbox().await;
    let status = sh(&sandbox, "cat /proc/self/status").await.text();
    let field = |name: &str| {
        status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned()
    };
    assert_eq!(field("NoNewPrivs:"), "1");
    let bounding = u64::from_str_radix(&field("CapBnd:"), 16).unwrap();
    assert_eq!(bounding & !0xa804_25fb, 0, "{bounding:x}");
    // A user namespace of its own, in which root is root of nothing else.
    let own = std::fs::read_link("/proc/self/ns/user").unwrap();
    let inside = sh(&sandbox, "readlink /proc/self/ns/user").await.text();
    assert_ne!(own.to_string_lossy(), inside.trim());
    for kind in ["mnt", "pid", "ipc", "uts"] {
        let own = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        assert_ne!(
            own.to_string_lossy(),
            sh(&sandbox, &format!("readlink /proc/self/ns/{kind}")).await.text().trim()
        );
    }
    refused(&sandbox, "perl -e 'syscall(169, 0xfee1dead, 672274793, 0x89abcdef, 0)==0 or die'", "\u{0}")
        .await;
    refused(&sandbox, "dmesg -c", "\u{0}").await;
    refused(&sandbox, "ip link add attack type dummy || ifconfig lo down", "\u{0}").await;
    sandbox.kill().await.unwrap();
});

at!(a_setuid_program_gives_nothing, [Namespaces, UserNamespaces], |world| {
    let mut spec = world.spec();
    spec.user = Some((1234, 1234));
    let sandbox = world.start(spec).await;
    let id = sandbox.exec(Exec::new(["/usr/bin/id", "-u"])).await.unwrap().finish().await.unwrap().text();
    assert_eq!(id, "1234\n");
    refused(
        &sandbox,
        "cp /usr/bin/id /tmp/id && chmod 4755 /tmp/id && /tmp/id -u && su -c 'id -u' </dev/null",
        "0\n",
    )
    .await;
    sandbox.kill().await.unwrap();
});
