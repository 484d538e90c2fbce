# Stands in for Vivado and Vitis HLS: knows the commands that the scripts use, with their options, and what a block design
# made of these IP cores has: properties, pins, interfaces, addresses.  What is wrong is an error, as there.
#
#   tclsh vendor.tcl SCRIPT RECORD
#
# Sources: AMD UG835 (commands), UG994 (block designs), PG021 (AXI DMA), PG059 (interconnect), PG082 and PG201 (processors),
# PG099 (interrupt controller), PG164 (reset), UG1399 (Vitis HLS).  FAKE_FAIL names what goes wrong, FAKE_HWH the handoff
# file that is written, FAKE_BOARDS the boards that are installed, FAKE_STREAMED whether the packaged engine streams.
lassign $argv script record
set argv {}
set log [open $record a]

proc fake {name {default ""}} {
    return [expr {[info exists ::env(FAKE_$name)] ? $::env(FAKE_$name) : $default}]
}
proc refuse {text} {
    puts "ERROR: $text"
    error $text
}
proc failing {what} {
    return [expr {$what in [split [fake FAIL]]}]
}

# --- options: each command's flags, options with a value, and least and most other arguments ---
set commands {
    create_project {-force} {-part} 1 2
    open_project {} {} 1 1
    close_project {} {} 0 0
    current_project {} {} 0 0
    current_fileset {} {} 0 0
    current_design {} {} 0 0
    set_msg_config {} {-id -new_severity} 0 0
    add_files {-norecurse} {} 1 1
    update_compile_order {} {-fileset} 0 0
    update_ip_catalog {} {} 0 0
    get_board_parts {-quiet} {} 1 1
    set_property {-dict} {} 2 3
    get_property {} {} 2 2
    create_bd_design {} {} 1 1
    create_bd_cell {} {-type -vlnv -reference} 1 1
    apply_bd_automation {} {-rule -config} 1 1
    connect_bd_net {} {} 2 2
    connect_bd_intf_net {} {} 2 2
    assign_bd_address {-force} {-offset -range -target_address_space} 1 1
    exclude_bd_addr_seg {} {-target_address_space} 1 1
    validate_bd_design {} {} 0 0
    save_bd_design {} {} 0 0
    generate_target {} {} 2 2
    make_wrapper {-top -import} {-files} 0 0
    reset_run {} {} 1 1
    launch_runs {} {-jobs -to_step} 1 1
    wait_on_run {} {} 1 1
    open_run {} {} 1 1
    report_timing_summary {} {-file -max_paths} 0 0
    report_utilization {} {-file -cells} 0 0
    write_bitstream {-force} {} 1 1
    get_bd_cells {} {} 1 1
    get_bd_pins {} {} 1 1
    get_bd_intf_pins {} {} 1 1
    get_bd_addr_spaces {} {} 1 1
    get_bd_addr_segs {-quiet} {-of_objects} 0 1
    get_runs {} {} 1 1
    get_files {} {} 1 1
    get_cells {-quiet} {} 1 1
    set_top {} {} 1 1
    set_part {} {} 1 1
    create_clock {} {-period -name} 0 0
    set_clock_uncertainty {} {} 1 2
    config_rtl {} {-reset} 0 0
    csim_design {} {} 0 0
    csynth_design {} {} 0 0
    cosim_design {} {-rtl -argv} 0 0
    export_design {} {-rtl -format -vendor -library -ipname -version} 0 0
    open_solution {-reset} {-flow_target} 1 1
}
foreach {command flags valued least most} $commands {
    set known($command) [list $flags $valued $least $most]
}
# Those of Vitis HLS that have a name in common with Vivado's, or with Tcl.
if {[fake TOOL vivado] eq "hls"} {
    set known(open_project) {{-reset} {} 1 1}
    set known(add_files) {{-tb} {-cflags} 1 1}
}

# Checks the options, records the call, and leaves them in the array `given` and the rest in `others`.
proc parse {command words} {
    upvar given given others others
    puts $::log [string map {\n " "} [join [list $command {*}$words] \x1f]]
    flush $::log
    lassign $::known($command) flags valued least most
    array unset given
    array set given {}
    set others {}
    for {set i 0} {$i < [llength $words]} {incr i} {
        set word [lindex $words $i]
        if {$word in $flags} {
            set given($word) 1
        } elseif {$word in $valued} {
            incr i
            if {$i >= [llength $words]} {
                refuse "\[Common 17-163\] Missing value for option '$word', please type '$command -help' for usage info."
            }
            set given($word) [lindex $words $i]
        } elseif {[regexp {^-[a-z]} $word]} {
            refuse "\[Common 17-170\] Unknown option '$word', please type '$command -help' for usage info."
        } else {
            lappend others $word
        }
    }
    if {[llength $others] < $least || [llength $others] > $most} {
        refuse "\[Common 17-165\] Too many or too few positional options: $command $words"
    }
}
proc unknown {args} {
    refuse "invalid command name \"[lindex $args 0]\""
}
foreach part {vivado.tcl hls.tcl} {
    source [file join [file dirname [info script]] $part]
}

# --- what Vivado and Vitis HLS print first ---
puts "****** [expr {[fake TOOL vivado] eq "hls" ? "Vitis HLS - High-Level Synthesis from C, C++ and OpenCL" : "Vivado"}] v[fake VERSION 2023.2] (64-bit)"
rename exit tcl_exit
proc exit {{code 0}} {
    close $::log
    tcl_exit $code
}
if {[catch {source $script} message options]} {
    puts "    while executing $script: $message"
    exit 1
}
exit
