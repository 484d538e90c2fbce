# Vivado: part of vendor.tcl.  Projects, runs and reports; block designs stand in design.tcl.
if {[fake TOOL vivado] eq "hls"} {
    return
}
source [file join [file dirname [info script]] design.tcl]
set open 0
array set project {part "" board "" files {} mode "" generated 0 wrapper 0 top "" severity "" synth_1 0 impl_1 0 user FFFFFFFF}
set run ""

proc need_project {} {
    if {!$::open} {
        refuse "\[Common 17-53\] User Exception: No open project. Please create or open a project before executing this command."
    }
}
proc save {} {
    set file [open project/squeeze_engine.xpr w]
    puts $file [array get ::project]
    close $file
}
proc create_project {args} {
    parse create_project $args
    if {[failing part]} {
        puts "WARNING: \[Device 21-436\] No parts matched '$given(-part)'"
        refuse "\[Coretcl 2-106\] Specified part could not be found."
    }
    if {$others ne {squeeze_engine project} || ![info exists given(-force)]} {
        refuse "\[Common 17-53\] project elsewhere: $args"
    }
    file delete -force project
    file mkdir project
    set ::project(part) $given(-part)
    set ::open 1
    save
}
proc open_project {args} {
    parse open_project $args
    if {![file isfile [lindex $others 0]]} {
        refuse "\[Coretcl 2-27\] Can't find specified project."
    }
    set file [open [lindex $others 0]]
    array set ::project [read $file]
    close $file
    set ::open 1
}
proc close_project {} {
    parse close_project {}
    need_project
    save
    set ::open 0
}
proc current_project {} { need_project; return project:squeeze_engine }
proc current_fileset {} { need_project; return fileset:sources_1 }
proc current_design {} {
    if {$::run ne "impl_1"} { refuse "\[Common 17-53\] no implemented design is open" }
    return design:impl_1
}
proc set_msg_config {args} {
    parse set_msg_config $args
    need_project
    lappend ::project(severity) $given(-id) $given(-new_severity)
}
proc add_files {args} {
    parse add_files $args
    need_project
    foreach file [lindex $others 0] {
        if {![file isfile $file]} {
            refuse "\[Vivado 12-172\] File or Directory '$file' does not exist"
        }
        lappend ::project(files) $file
    }
}
proc update_compile_order {args} {
    parse update_compile_order $args
    if {$given(-fileset) ne "sources_1"} { refuse "no such fileset" }
}
proc update_ip_catalog {args} { parse update_ip_catalog $args }
proc get_board_parts {args} {
    parse get_board_parts $args
    return [expr {[lindex $others 0] in [split [fake BOARDS]] ? [lindex $others 0] : ""}]
}
proc set_property {args} {
    parse set_property $args
    if {[info exists given(-dict)]} {
        lassign $others pairs object
    } else {
        lassign $others name value object
        set pairs [list $name $value]
    }
    foreach {name value} $pairs {
        set_one $name $value $object
    }
}
proc set_one {name value object} {
    set kind [lindex [split $object :] 0]
    switch -glob -- $kind/$name {
        project/board_part {
            if {$value ni [split [fake BOARDS]]} {
                refuse "\[Board 49-71\] The board_part definition was not found for $value."
            }
            set ::project(board) $value
        }
        project/ip_repo_paths {
            foreach folder $value {
                if {![file isfile $folder/component.xml]} {
                    refuse "\[IP_Flow 19-2207\] Repository '$folder' contains no valid IP"
                }
                set ::packaged 1
            }
        }
        fileset/top { set ::project(top) $value }
        file/synth_checkpoint_mode { set ::project(mode) $value }
        design/BITSTREAM.CONFIG.USERID {
            if {![regexp {^0X[0-9A-F]{8}$} $value]} { refuse "\[Designutils 20-1\] $value is no user ID" }
            set ::project(user) [string range $value 2 end]
        }
        cell/CONFIG.* { configure [string range $object 5 end] [string range $name 7 end] $value }
        default { refuse "\[Common 17-51\] Property '$name' does not exist for object $object" }
    }
}
proc get_property {args} {
    parse get_property $args
    lassign $others name object
    set run [string range $object 4 end]
    switch -- $name {
        PROGRESS { return [expr {$::project($run) ? "100%" : "0%"}] }
        STATS.WNS { return [fake WNS 0.412] }
        STATS.WHS { return [fake WHS 0.021] }
    }
    refuse "\[Common 17-51\] Property '$name' does not exist"
}
proc get_files {args} {
    parse get_files $args
    if {$others ne "system.bd" || !$::saved} { refuse "\[Vivado 12-180\] No files matched '$others'" }
    return file:system.bd
}
proc get_runs {args} {
    parse get_runs $args
    if {$others ni {synth_1 impl_1}} { refuse "\[Vivado 12-180\] No runs matched '$others'" }
    return run:$others
}
proc generate_target {args} {
    parse generate_target $args
    if {$others ne {all file:system.bd}} { refuse "\[Common 17-161\] generate_target $others" }
    if {$::project(mode) ne "None"} { refuse "the engine's own run would not see the memory contents" }
    set folder project/squeeze_engine.gen/sources_1/bd/system/hw_handoff
    file mkdir $folder
    if {[fake HWH] ne ""} {
        file copy -force [fake HWH] $folder/system.hwh
    } else {
        close [open $folder/system.hwh w]
    }
    set ::project(generated) 1
}
proc make_wrapper {args} {
    parse make_wrapper $args
    if {[lsort [array names given]] ne {-files -import -top} || !$::project(generated)} {
        refuse "\[Common 17-161\] make_wrapper $args"
    }
    set ::project(wrapper) 1
}

# --- runs ---
proc reset_run {args} {
    parse reset_run $args
    set ::project([lindex $others 0]) 0
}
proc launch_runs {args} {
    parse launch_runs $args
    need_project
    set name [lindex $others 0]
    if {![string is integer -strict $given(-jobs)]} { refuse "\[Common 17-161\] -jobs $given(-jobs)" }
    if {$::project($name)} { refuse "\[Common 17-69\] Command failed: Run '$name' needs to be reset before launching." }
    if {$name eq "synth_1" && ($::project(top) ne "system_wrapper" || !$::project(wrapper))} {
        refuse "\[Common 17-69\] Command failed: no top"
    }
    if {$name eq "impl_1" && !$::project(synth_1)} {
        refuse "\[Common 17-69\] Command failed: Run 'synth_1' is not complete"
    }
    file mkdir project/squeeze_engine.runs/$name
}
proc runme {name text} {
    set file [open project/squeeze_engine.runs/$name/runme.log a]
    puts $file $text
    close $file
}
proc wait_on_run {args} {
    parse wait_on_run $args
    set name [lindex $others 0]
    puts "\[Sat Nov 21 12:00:00 2026\] Waiting for $name to finish..."
    flush stdout
    set trouble ""
    if {$name eq "synth_1"} {
        runme $name "Starting synth_design"
        runme $name "Attempting to get a license for feature 'Synthesis' and/or device 'xc7z020'"
        set trouble [trouble {
            licence "ERROR: \[Common 17-345\] A valid license was not found for feature 'Synthesis' and/or device 'xc7z020'. Please run the Vivado License Manager for assistance in determining"
            contents "ERROR: \[Synth 8-4445\] could not open \$readmem data file 'squeeze_store15.mem'; please make sure the file is added to project and has read permission, ignoring"
            disk "couldn't write: No space left on device"
            syntax "ERROR: \[Synth 8-2715\] syntax error near wire \[squeeze_engine.sv:1\]"
            child {/tools/Xilinx/bin/rdiArgs.sh: line 309: 3801495 Killed                  "$RDI_PROG" "$@"}
        }]
    } else {
        runme $name "Phase 1.2 IO Placement/ Clock Placement/ Build Placer Device | Checksum: 1"
        set trouble [trouble {
            overfull "ERROR: \[Place 30-640\] Place Check : This design requires more RAMB36/FIFO cells than are available in the target device. This design requires 151 of such cell types but only 140 compatible sites are available in the target device."
            rules "ERROR: \[DRC NSTD-1\] Unspecified I/O Standard: 1 out of 131 logical ports use I/O standard 'DEFAULT'"
            other "ERROR: \[Power 33-232\] something that nobody expected"
            routing "ERROR: \[Route 35-9\] Router encountered a fatal exception"
        }]
    }
    if {[failing killed-$name]} {
        exec kill -9 [pid]
    }
    if {[failing hang-$name]} {
        set child [exec setsid sleep 300 &]
        set file [open child.pid w]
        puts $file $child
        close $file
        while 1 { after 100 }
    }
    if {$trouble eq ""} {
        runme $name "$name completed successfully"
        set ::project($name) 1
    } else {
        runme $name $trouble
        runme $name "ERROR: \[Common 17-39\] 'place_design' failed due to earlier errors."
        save
        # newer versions repeat the run's log, and throw
        puts [read_file project/squeeze_engine.runs/$name/runme.log]
        refuse "\[Vivado 12-13638\] Failed runs(s) : '$name'"
    }
    save
    puts "\[Sat Nov 21 12:00:00 2026\] $name finished"
}
proc read_file {path} {
    set file [open $path]
    set text [read $file]
    close $file
    return $text
}
proc trouble {table} {
    foreach {name text} $table {
        if {[failing $name]} { return $text }
    }
    return ""
}
proc open_run {args} {
    parse open_run $args
    need_project
    set ::run [lindex $others 0]
    if {!$::project($::run)} { refuse "\[Project 1-680\] run '$::run' is not complete" }
}
proc get_cells {args} {
    parse get_cells $args
    return [expr {$others eq "system_i/engine" && ![failing flattened] ? "system_i/engine" : ""}]
}
proc report_timing_summary {args} {
    parse report_timing_summary $args
    set file [open $given(-file) w]
    set slack [fake WNS 0.412]
    puts $file "
------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints  THS Total Endpoints     WPWS(ns)     TPWS(ns)  TPWS Failing Endpoints  TPWS Total Endpoints  
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------  -------------------     --------     --------  ----------------------  --------------------  
      $slack       -1.250                     [expr {$slack < 0 ? 57 : 0}]                71696        [fake WHS 0.021]        0.000                      0                71696        3.750        0.000                       0                 31077  


Max Delay Paths
--------------------------------------------------------------------------------------
Slack ([expr {$slack < 0 ? "VIOLATED" : "MET"}]) :        ${slack}ns  (required time - arrival time)
  Source:                 system_i/engine/inst/engine/sequencer/step_reg\[3\]/C
                            (rising edge-triggered cell FDRE clocked by clk_fpga_0  {rise@0.000ns fall@5.000ns period=10.000ns})
  Destination:            system_i/engine/inst/engine/walker/address_reg\[7\]/D
                            (rising edge-triggered cell FDRE clocked by clk_fpga_0  {rise@0.000ns fall@5.000ns period=10.000ns})
  Path Group:             clk_fpga_0
  Path Type:              Setup (Max at Slow Process Corner)
  Requirement:            10.000ns  (clk_fpga_0 rise@10.000ns - clk_fpga_0 rise@0.000ns)
  Data Path Delay:        9.325ns  (logic 3.776ns (40.493%)  route 5.549ns (59.507%))
  Logic Levels:           8  (CARRY4=2 LUT3=1 LUT6=5)

Min Delay Paths
--------------------------------------------------------------------------------------
Slack (MET) :             [fake WHS 0.021]ns  (arrival time - required time)
  Source:                 system_i/dma/a/C
  Destination:            system_i/dma/b/D
  Path Type:              Hold (Min at Fast Process Corner)
  Data Path Delay:        0.105ns  (logic 0.1ns (95.0%)  route 0.005ns (5.0%))
  Logic Levels:           0"
    close $file
}
proc report_utilization {args} {
    parse report_utilization $args
    set whole [expr {![info exists given(-cells)]}]
    set kind [expr {[string match xc7* $::project(part)] ? "Slice" : "CLB"}]
    set file [open $given(-file) w]
    puts $file "
1. $kind Logic
--------------

+----------------------------+-------+-------+------------+-----------+-------+
|          Site Type         |  Used | Fixed | Prohibited | Available | Util% |
+----------------------------+-------+-------+------------+-----------+-------+
| $kind LUTs                 | [expr {$whole ? 31605 : 25770}] |     0 |          0 |     53200 | 48.44 |
|   LUT as Logic             | 23447 |     0 |          0 |     53200 | 44.07 |
| $kind Registers            | [expr {$whole ? 42269 : 30011}] |     0 |          0 |    106400 | 39.73 |
+----------------------------+-------+-------+------------+-----------+-------+

3. Memory
---------

+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    | [expr {$whole ? "132.5" : "130"}] |     0 |          0 |       140 | 86.43 |
|   RAMB36/FIFO*    |   76 |     0 |          0 |       140 | 54.29 |
+-------------------+------+-------+------------+-----------+-------+

4. DSP
------

| DSPs           |  200 |     0 |          0 |       220 | 90.91 |"
    close $file
}
proc write_bitstream {args} {
    parse write_bitstream $args
    if {$::run ne "impl_1"} { refuse "\[Common 17-53\] no implemented design is open" }
    # the name of a part in the header: 7z020clg400, or the whole of a newer one
    set part [expr {[regexp {^xc(7\w+)-\d$} $::project(part) -> short] ? $short : $::project(part)}]
    set header [binary format H* 00090ff00ff00ff00ff0000001]
    foreach {key text} [list a "system_wrapper;UserID=0X$::project(user);Version=2023.2" b $part c 2026/11/21 d 12:00:00] {
        append header $key [binary format S [expr {[string length $text] + 1}]] $text "\0"
    }
    set data [string repeat "\xaa\x99\x55\x66" 64]
    set file [open [lindex $others 0] wb]
    puts -nonewline $file "${header}e[binary format I [string length $data]]$data"
    close $file
}
