unmount_disks() { :; }
