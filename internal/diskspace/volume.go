package diskspace

import "strings"

// ofVolumes are the names of what file systems, and the systems that mount them, put at
// the root of a volume, in lower case.
var ofVolumes = map[string]bool{
	"lost+found": true, // ext2 to ext4, UFS, OCFS2; of root, and readable by nobody else
	".snapshot":  true, ".snapshots": true, ".snap": true, ".zfs": true, "~snapshot": true, "@snapshot": true, "#snapshot": true,
	"aquota.user": true, "aquota.group": true, "quota.user": true, "quota.group": true,
	".glusterfs": true, ".trashcan": true, "@eadir": true, "#recycle": true, "@recycle": true,
	".fseventsd": true, ".spotlight-v100": true, ".trashes": true, ".temporaryitems": true, ".documentrevisions-v100": true, ".ds_store": true, ".apdisk": true, // macOS
	"system volume information": true, "$recycle.bin": true, "desktop.ini": true, "thumbs.db": true, // Windows
}

// IsOfVolume tells whether a name is of what a file system has at the root of a volume of
// its own, and not of anything that somebody has put there.
func IsOfVolume(name string) bool {
	if ofVolumes[strings.ToLower(name)] {
		return true
	}
	for _, prefix := range []string{".Trash-", ".nfs", "._"} { // of desktops, of NFS, of macOS
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
