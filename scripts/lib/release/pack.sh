# shellcheck shell=bash
# Archives whose bytes depend on what is in them alone. To be sourced; needs $SOURCE_DATE_EPOCH.

# pack FOLDER NAME...: a tar on standard output, as root's, sorted, with modes that no umask made, without what differs from file
# system to file system.
pack() {
  local folder=$1
  tar -C "$folder" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --format=posix \
    --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' -cf - "${@:2}"
}

# pack_plain FOLDER NAME...: the same for files of our own, whose modes say only whether they can be run.
pack_plain() {
  pack "$@" --mode='u=rwX,go=rX'
}
